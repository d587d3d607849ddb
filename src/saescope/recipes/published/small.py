"""What small runs share: the bundled model or a tiny random GPT-2, a few thousand tokens of babel, seconds on one core."""

from pathlib import Path
from typing import Any

import numpy as np

from saescope.draws import draws
from saescope.models import loading
from saescope.models.loading import BUNDLED
from saescope.pipeline import ModelConfig, RunConfig, SAEConfig, TextConfig
from saescope.pipeline.objectives import ObjectiveConfig
from saescope.recipes.lm_model import save_model
from saescope.training.config import TrainConfig

TEXT = "babel:tiny"
TRAIN: dict[str, Any] = {"tokens": 61_440, "batch_tokens": 256, "lr": 2e-3}
REST: dict[str, Any] = {"silent_tokens": 20_000, "feature_tokens": 20_000, "label_tokens": 0, "cards": 4}
GPT2: dict[str, Any] = {"n_layer": 8, "n_embd": 64, "n_head": 4, "n_positions": 128}
"""Of GPT-2 small's shape, as deep as its layer 6 needs: the hook points of the full recipe are the same."""
SPREAD = 0.15
"""Standard deviation of its weights: at the usual 0.02 a model that was never trained does next to nothing to its embeddings."""


def small_run(
    at: str,
    sae: SAEConfig,
    *,
    model: str = BUNDLED,
    text: str = TEXT,
    objective: ObjectiveConfig | None = None,
    **train: Any,
) -> RunConfig:
    """A run of seconds; `train` are fields of TrainConfig."""
    return RunConfig(
        model=ModelConfig(model=model),
        text=TextConfig(text=text),
        at=at,
        sae=sae,
        objective=objective or ObjectiveConfig(),
        train=TrainConfig(**(TRAIN | train)),
        **REST,
    )


def tiny_gpt2(folder: Path) -> str:
    """A random GPT-2 of 8 layers with the bundled model's tokenizer, as a Hugging Face folder; written once."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    if not (folder / "README.md").is_file():  # written last
        tokenizer = AutoTokenizer.from_pretrained(Path(loading.__file__).parent / BUNDLED)
        config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **GPT2)
        model = GPT2LMHeadModel(config).float().eval()
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                drawn = draws(0, "init", name).standard_normal(tuple(parameter.shape), dtype=np.float32)
                parameter.data.copy_(parameter.data.new_tensor(SPREAD * drawn))
        save_model(model, tokenizer, folder, "# A random GPT-2\n\nFor the small scale of recipes; never trained.\n")
    return str(folder)
