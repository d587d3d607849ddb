"""Gated SAE: a gate and a magnitude per latent.

Source: Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders" (arXiv:2404.16014).
Published: Pythia-2.8B among others, 2^15 latents on its residual stream, Adam (0, 0.999) at 3e-4 for every Gated SAE, L1 coefficients
swept.
Coefficient: it was swept, so the recipe asks for an L0 and lets training find it.
Differs: layer 16, batches of 4,096, an L0 of 64 and 1e9 tokens of the Pile are ours; dead latents get the direction of x - b_dec.
"""

from pathlib import Path

from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import small_run
from saescope.training.config import TrainConfig


def full() -> RunConfig:
    """Pythia-2.8B after layer 16."""
    return RunConfig(
        model=ModelConfig(model="EleutherAI/pythia-2.8b"),
        text=TextConfig(text="monology/pile-uncopyrighted", context=1024, packing="stream"),
        at="blocks.16.resid_post",
        sae=SAEConfig(sae="gated", d_sae=32_768, l0=64, set=("resample=centred", "alpha=0")),
        train=TrainConfig(tokens=1_000_000_000, batch_tokens=4096, lr=3e-4, warmup=1000, decay=0),
    )


def small(folder: Path) -> RunConfig:
    """The stream of the bundled model at L0 16."""
    return small_run("blocks.0.resid_post", SAEConfig(sae="gated", expansion=4, l0=16))


RECIPE = Recipe(
    name="gated",
    about=__doc__,
    full=full,
    small=small,
    band=Band(fvu=(0.027, 0.047), l0=(13, 22)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
