"""The one-layer language model of Towards Monosemanticity: one block of attention and a ReLU MLP, as a Hugging Face model."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saescope.disk import make_folder, write_json, write_text, writing
from saescope.draws import draws

D_MODEL, D_MLP, HEADS = 128, 512, 4


def build_model(vocab_size: int, context: int, *, seed: int, bos_id: int = 0) -> Any:
    """A GPT-NeoX of one sequential block with initial weights of our own, float32: N(0, 1 / d_in) for matrices, N(0, 0.02^2) for the
    embedding and the unembedding, zero for biases. The projections into the stream start at half that size."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=vocab_size,
        hidden_size=D_MODEL,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        intermediate_size=D_MLP,
        hidden_act="relu",
        max_position_embeddings=context,
        use_parallel_residual=False,
        tie_word_embeddings=False,
        bos_token_id=bos_id,
        eos_token_id=bos_id,
        # A context of a few hundred tokens needs no wavelength of ten thousand; half of each head stays free of position.
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.5},
    )
    model = GPTNeoXForCausalLM(config).float()
    for name, parameter in model.named_parameters():
        parameter.data.copy_(_initial(name, parameter.shape, seed))
    return model.eval()


def _initial(name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    if name.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1:  # gains of the norms
        return torch.ones(shape)
    if "embed_in" in name or not name.startswith("gpt_neox"):
        scale = 0.02
    else:
        scale = (0.5 if name.endswith(("attention.dense.weight", "dense_4h_to_h.weight")) else 1.0) / math.sqrt(shape[1])
    return scale * torch.from_numpy(draws(seed, "init", name).standard_normal(tuple(shape), dtype=np.float32))


def save_model(model: Any, tokenizer: Any, folder: Path, card: str) -> None:
    """A Hugging Face folder: weights in float16, which `from_pretrained(dtype="auto")` reads back as float32, tokenizer and card.

    Raises: DiskFull, OutputNotWritable.
    """
    from safetensors.torch import save

    make_folder(folder)
    config = model.config.to_dict() | {"dtype": "float32", "architectures": [type(model).__name__]}
    write_json(folder / "config.json", {key: value for key, value in config.items() if value is not None})
    write_json(folder / "generation_config.json", {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]})
    with writing(folder / "tokenizer_config.json"):
        tokenizer.save_pretrained(folder)
    with writing(folder / "tokenizer.json"):
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    weights = {name: parameter.detach().to(torch.float16).contiguous() for name, parameter in model.state_dict().items()}
    with writing(folder / "model.safetensors"):
        (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    write_text(folder / "README.md", card)


def rounded_(model: Any) -> None:
    """Round the weights to float16, so that what is measured is what is saved."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.float16).float())


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
