"""Recipes: whole jobs under a name, for `saescope run --recipe NAME`.

Each module has `Options` (the flags), `DESCRIPTION` and `run(options, reporter) -> text to print`, and is imported when it is called.
"""

RECIPES = {
    "bundled-model": (
        "saescope.recipes.bundled_model",
        "train the bundled one-layer language model anew, or one like it on a folder of text",
    ),
    "towards-monosemanticity": (
        "saescope.recipes.published.towards_monosemanticity",
        "ReLU + L1 with resampling on a one-layer model's MLP, 8 latents per neuron (2023)",
    ),
    "towards-monosemanticity-widths": (
        "saescope.recipes.published.towards_monosemanticity_widths",
        "the same at 512 to 131,072 latents, as a sweep",
    ),
    "april-2024": ("saescope.recipes.published.april_2024", "ReLU with a free decoder, the update of April 2024"),
    "gated": ("saescope.recipes.published.gated", "gated SAE on Pythia-2.8B"),
    "topk": ("saescope.recipes.published.topk", "TopK with AuxK on GPT-2 small (Gao et al.)"),
    "jumprelu": ("saescope.recipes.published.jumprelu", "JumpReLU with its L0 penalty on Gemma 2 9B"),
    "matryoshka": ("saescope.recipes.published.matryoshka", "nested dictionaries on Gemma 2 2B"),
    "gpt2-small-e2e": ("saescope.recipes.published.gpt2_small_e2e", "end to end at layer 6 of GPT-2 small"),
    "gpt2-tinystories": ("saescope.recipes.published.gpt2_tinystories", "the MLP of layer 6 of GPT-2 small on TinyStories"),
}
"""(module, one line) by name."""
