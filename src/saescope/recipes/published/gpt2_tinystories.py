"""GPT-2 small, layer 6 MLP, on TinyStories: our defaults on a real model, the text only to collect activations.

Not from a paper: BatchTopK with k = 32 and 8 latents per neuron (24,576), 1e8 tokens of TinyStories, one story per sequence of at most
256 tokens, learning rate and schedule by default. `--text` takes any other text, such as a folder of your own.
Coefficients: none is converted.
"""

from pathlib import Path

from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import small_run, tiny_gpt2
from saescope.training.config import TrainConfig

AT = "blocks.6.mlp_post"


def full() -> RunConfig:
    """GPT-2 small, the MLP of layer 6."""
    return RunConfig(
        model=ModelConfig(model="openai-community/gpt2"),
        text=TextConfig(text="roneneldan/TinyStories", context=256, packing="documents"),
        at=AT,
        sae=SAEConfig(sae="batch_topk", expansion=8, k=32),
        train=TrainConfig(tokens=100_000_000, batch_tokens=4096),
    )


def small(folder: Path) -> RunConfig:
    """The same point of a random GPT-2 of 8 layers, on babel."""
    return small_run(AT, SAEConfig(sae="batch_topk", expansion=2, k=16), model=tiny_gpt2(folder), tokens=40_960)


RECIPE = Recipe(
    name="gpt2-tinystories",
    about=__doc__,
    full=full,
    small=small,
    band=Band(fvu=(0.2, 0.35), l0=(12, 20)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
