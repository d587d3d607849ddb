"""Towards Monosemanticity, every width: 512 f latents for f = 1, 2, 4 ... 256 on one stream, as a sweep.

Source: Bricken et al. 2023, whose runs went from 512 to 131,072 latents. All else is the recipe `towards-monosemanticity`.
Differs: one coefficient for all widths (theirs were chosen run by run), and the widths in between are powers of two.
"""

from dataclasses import replace
from pathlib import Path

from saescope.pipeline import GridConfig, SweepConfig, TextConfig
from saescope.recipes.published.recipe import Band, Recipe, RecipeOptions
from saescope.recipes.published.small import REST, TEXT, TRAIN
from saescope.recipes.published.towards_monosemanticity import AT, L1
from saescope.recipes.published.towards_monosemanticity import TRAIN as PUBLISHED
from saescope.training.config import TrainConfig

NEURONS = 512


def full() -> SweepConfig:
    """512 to 131,072 latents."""
    widths = tuple(NEURONS * 2**i for i in range(9))
    grid = GridConfig(sae=("relu",), d_sae=widths, l1=(L1,), set=("resample=published", "alpha=0"))
    return SweepConfig(text=TextConfig(text="babel"), at=AT, grid=grid, train=PUBLISHED, features=True)


def small(folder: Path) -> SweepConfig:
    """Half as many latents as neurons, and as many."""
    grid = GridConfig(sae=("relu",), d_sae=(NEURONS // 2, NEURONS), l1=(L1,), set=("resample=published", "alpha=0"))
    shared = {name: value for name, value in REST.items() if name != "cards"}
    train = replace(TrainConfig(**TRAIN), tokens=30_720)
    return SweepConfig(text=TextConfig(text=TEXT), at=AT, grid=grid, train=train, **shared)


RECIPE = Recipe(
    name="towards-monosemanticity-widths",
    about=__doc__,
    full=full,
    small=small,
    band=Band(sae="relu-d-512", fvu=(0.36, 0.6), l0=(9, 18)),
)
DESCRIPTION, Options, run = RECIPE.description, RecipeOptions, RECIPE.run
