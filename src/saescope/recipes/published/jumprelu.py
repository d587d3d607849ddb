"""JumpReLU SAE: learned thresholds and a penalty on L0 itself.

Source: Rajamanoharan et al. 2024, "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders" (arXiv:2407.14435).
Published: Gemma 2 9B, layers 9, 20 and 31, 131,072 latents, inputs at E||x||^2 = 1, squared error summed over d, Adam (0, 0.999) at 7e-5
after 1,000 warm-up steps, thresholds starting at 0.001, bandwidth 0.001, batches of 4,096, 8e9 tokens, lambda swept and warmed up.
Coefficients: theta and bandwidth 0.001 are 0.001 sqrt(d); lambda is lambda d. It was swept, so the recipe asks for an L0 and lets training
find it, from lambda 6e-4 on.
Differs: thresholds are parameters, not logarithms; the Pile in the place of the model's own training text; L0 80 and 10,000 steps of
warm-up of lambda are ours.
"""

from pathlib import Path

from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import small_run
from saescope.recipes.published.units import l0_of_unit_norm, threshold_of_unit_norm
from saescope.training.config import TrainConfig

TOKENS, BATCH = 8_000_000_000, 4096
THRESHOLD, COEFFICIENT = 0.001, 6e-4


def full() -> RunConfig:
    """Gemma 2 9B after layer 20."""
    return RunConfig(
        model=ModelConfig(model="google/gemma-2-9b"),
        text=TextConfig(text="monology/pile-uncopyrighted", context=1024, packing="stream"),
        at="blocks.20.resid_post",
        sae=SAEConfig(sae="jumprelu", d_sae=131_072, l0=80, set=_published(3584)),
        train=TrainConfig(
            tokens=TOKENS,
            batch_tokens=BATCH,
            lr=7e-5,
            warmup=1000,
            decay=0,
            sparsity_warmup=10_000 * BATCH / TOKENS,
        ),
    )


def _published(d: int) -> tuple[str, ...]:
    """The paper's sparsity term, for inputs of width d."""
    theta, coefficient = threshold_of_unit_norm(THRESHOLD, d), l0_of_unit_norm(COEFFICIENT, d)
    return (
        "sparsity=l0",
        f"coefficient={coefficient:.6g}",
        f"theta={theta:.6g}",
        f"bandwidth={theta:.6g}",
        "ste_to_input=false",
        "alpha=0",
    )


def small(folder: Path) -> RunConfig:
    """The stream of the bundled model at L0 16, with our thresholds and bandwidth, which a short run needs."""
    options = ("sparsity=l0", f"coefficient={l0_of_unit_norm(COEFFICIENT, 128):.6g}")
    return small_run("blocks.0.resid_post", SAEConfig(sae="jumprelu", expansion=4, l0=16, set=options), batch_tokens=128)


RECIPE = Recipe(
    name="jumprelu",
    about=__doc__,
    full=full,
    small=small,
    band=Band(fvu=(0.024, 0.042), l0=(13, 22)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
