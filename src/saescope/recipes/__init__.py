"""Recipes: whole jobs under a name, for `saescope run --recipe NAME`.

Each module has `Options` (the flags), `DESCRIPTION` and `run(options, reporter) -> text to print`, and is imported when it is called.
"""

RECIPES = {
    "bundled-model": (
        "saescope.recipes.bundled_model",
        "train the bundled one-layer language model anew, or one like it on a folder of text",
    ),
}
"""(module, one line) by name."""
