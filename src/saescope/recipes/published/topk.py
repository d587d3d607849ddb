"""TopK SAE with AuxK on GPT-2 small.

Source: Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv:2406.04093).
Published: GPT-2 small, residual stream of layer 8, contexts of 64 tokens, 32,768 latents, k = 32, batches of 131,072 tokens, Adam
(0.9, 0.999) at 2e-4 / sqrt(d_sae / 2^14), AuxK with alpha 1/32 on latents silent for 10M tokens, W_enc the transpose of W_dec, b_dec at
the geometric median, gradients along unit rows removed and clipped.
Coefficients: the loss is divided by the variance V there and not here, so alpha is the same beside an mse that is V times theirs
(ours weighs AuxK by V_target / V_error as well); the clip norm 1 of loss / V is left at ours.
Differs: theirs normalises every token by LayerNorm first, which cannot be folded into the weights, and averages the weights; Adam's eps is
1e-8, not 6.25e-10; k_aux is d / 2, not 512. 1e9 tokens of OpenWebText are ours.
"""

from pathlib import Path

from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import small_run
from saescope.training.config import TrainConfig

D_SAE = 32_768
LR = 2e-4 / (D_SAE / 2**14) ** 0.5


def full() -> RunConfig:
    """GPT-2 small after layer 8."""
    return RunConfig(
        model=ModelConfig(model="openai-community/gpt2"),
        text=TextConfig(text="Skylion007/openwebtext", context=64, packing="stream"),
        at="blocks.8.resid_post",
        sae=SAEConfig(sae="topk", d_sae=D_SAE, k=32, set=(f"alpha={1 / 32}",)),
        train=TrainConfig(tokens=1_000_000_000, batch_tokens=131_072, lr=LR, warmup=0, decay=0, dead_tokens=10_000_000),
    )


def small(folder: Path) -> RunConfig:
    """The stream of the bundled model, k = 16."""
    return small_run("blocks.0.resid_post", SAEConfig(sae="topk", expansion=4, k=16))


RECIPE = Recipe(
    name="topk",
    about=__doc__,
    full=full,
    small=small,
    band=Band(fvu=(0.024, 0.04), l0=(15, 16)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
