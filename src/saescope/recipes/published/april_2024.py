"""April 2024: ReLU with a free decoder, whose row norms weigh the penalty.

Source: Anthropic, Circuits Updates April 2024, "Update on how we train SAEs".
Published: b_enc = b_dec = 0, rows of W_dec at norm 0.1 and W_enc their transpose, nothing tied, no resampling, inputs scaled to
E||x|| = sqrt(d), Adam (0.9, 0.999) at 5e-5 falling to 0 over the last fifth, lambda 5 reached over the first 20th, gradient norm
clipped to 1, 200,000 steps.
Coefficients: lambda 5 is 5 (inputs as ours, sum over d); the clip norm 1 is 1/d, for ours is of the gradient of loss / d.
Differs: s comes of the root mean square of norms, not of their mean. GPT-2 small after layer 6, 24,576 latents, OpenWebText and batches
of 4,096 are ours: the update names none.
"""

from pathlib import Path

from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import small_run
from saescope.recipes.published.units import clip_of_summed
from saescope.training.config import TrainConfig

D = 768
BATCH = 4096
STEPS = 200_000
L1 = 5.0


def full() -> RunConfig:
    """GPT-2 small after layer 6."""
    return RunConfig(
        model=ModelConfig(model="openai-community/gpt2"),
        text=TextConfig(text="Skylion007/openwebtext", context=1024, packing="stream"),
        at="blocks.6.resid_post",
        sae=SAEConfig(sae="relu", expansion=32, l1=L1, set=("decoder=free", "alpha=0")),
        train=TrainConfig(
            tokens=BATCH * STEPS,
            batch_tokens=BATCH,
            lr=5e-5,
            warmup=0,
            decay=0.2,
            sparsity_warmup=0.05,
            clip_norm=clip_of_summed(1.0, D),
        ),
    )


def small(folder: Path) -> RunConfig:
    """The bundled model's MLP with as many latents as neurons, at our learning rate: 160 steps leave no time for 5e-5."""
    sae = SAEConfig(sae="relu", expansion=1, l1=L1, set=("decoder=free", "alpha=0"))
    return small_run("blocks.0.mlp_post", sae, tokens=40_960, clip_norm=clip_of_summed(1.0, 512) * 100)


RECIPE = Recipe(
    name="april-2024",
    about=__doc__,
    full=full,
    small=small,
    band=Band(fvu=(0.33, 0.50), l0=(5.5, 10)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
