"""Matryoshka BatchTopK SAE: nested dictionaries.

Source: Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse autoencoders" (arXiv:2503.17547).
Published: Gemma 2 2B, residual stream of layer 12, widths 2,048, 6,144, 14,336, 30,720 and 65,536, k = 20 to 320 (40 here), Adam at 3e-4,
batches of 2,048, 500M tokens of the Pile.
Coefficients: the sum over widths is a mean here, so all terms but AuxK are a fifth of theirs; Adam does not see the difference, AuxK weighs
five times as much beside them, and alpha 1/160 undoes that.
Differs: contexts of 1,024 tokens, 1,000 steps of warm-up and a decay over the last fifth are those of the trainers they released.
"""

from pathlib import Path

from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import small_run
from saescope.training.config import TrainConfig

WIDTHS = (2048, 6144, 14_336, 30_720, 65_536)
ALPHA = 1 / 32 / len(WIDTHS)


def full() -> RunConfig:
    """Gemma 2 2B after layer 12."""
    return RunConfig(
        model=ModelConfig(model="google/gemma-2-2b"),
        text=TextConfig(text="monology/pile-uncopyrighted", context=1024, packing="stream"),
        at="blocks.12.resid_post",
        sae=SAEConfig(sae="matryoshka", d_sae=WIDTHS[-1], k=40, set=(f"widths={list(WIDTHS)}", f"alpha={ALPHA}")),
        train=TrainConfig(tokens=500_000_000, batch_tokens=2048, lr=3e-4, warmup=1000, decay=0.2),
    )


def small(folder: Path) -> RunConfig:
    """The stream of the bundled model, three widths, k = 16."""
    sae = SAEConfig(sae="matryoshka", d_sae=512, k=16, set=("widths=[64, 192, 512]", f"alpha={ALPHA}"))
    return small_run("blocks.0.resid_post", sae)


RECIPE = Recipe(
    name="matryoshka",
    about=__doc__,
    full=full,
    small=small,
    band=Band(fvu=(0.027, 0.046), l0=(14, 23)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
