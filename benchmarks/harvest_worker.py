"""SAELens's part of benchmarks/harvest.py: its activation store on a HookedTransformer of GPT-2 small's shape."""

import os

import torch
from contest import paced, quietly

SEQUENCES, CONTEXT = 16, 128


def main() -> None:
    from datasets import Dataset
    from sae_lens.training.activations_store import ActivationsStore
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(
        n_layers=12, d_model=768, n_ctx=1024, d_head=64, n_heads=12, d_vocab=50257, act_fn="gelu_new", normalization_type="LNPre"
    )
    _, layer, place = os.environ["AT"].split(".")
    tokens = torch.randint(0, 50257, (SEQUENCES, CONTEXT), generator=torch.Generator().manual_seed(0))
    store = ActivationsStore(
        HookedTransformer(config), Dataset.from_dict({"tokens": tokens.tolist()}), streaming=False,
        hook_name={"mlp_post": f"blocks.{layer}.mlp.hook_post", "resid_post": f"blocks.{layer}.hook_resid_post"}[place],
        hook_head_index=None, context_size=CONTEXT, d_in=3072 if place == "mlp_post" else 768, n_batches_in_buffer=2,
        total_training_tokens=10**6, store_batch_size_prompts=SEQUENCES, train_batch_size_tokens=4096, prepend_bos=False,
        normalize_activations="none", device=torch.device("cpu"), dtype="float32", autocast_lm=os.environ["PRECISION"] == "bf16",
    )  # fmt: skip
    with torch.no_grad():
        for batch in paced([tokens], {}):
            store.get_activations(batch)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    quietly(main)
