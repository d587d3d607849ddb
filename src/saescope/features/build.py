"""The feature build: one pass of the model over a text, then everything else from the codes it left on disk.

    encode_pass  ->  parts (codes of whole rows), near misses, neuron correlations
    parts        ->  counters, top / random / stratum examples, tokens fired on, pairs        (reducers, in any order)
    parts        ->  windows of the chosen examples
    weights      ->  cosines, neighbours, logit effects
    manifest swap

An interrupted build leaves no manifest; begun again with the same arguments it goes on after the last committed part, and its
bundle has the digest of an uninterrupted one. Memory: about 3 kB per feature and one part; disk: 8 bytes per non-zero of the
code while it builds (1M tokens at L0 32: 260 MB; raw neurons, dense, 4 kB per token at width 512).
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saescope import errors
from saescope._version import __version__
from saescope.activations.encode import Dictionary, EncodeOnly, Reducer, encode_pass
from saescope.data.corpus import Corpus
from saescope.data.packing import PackConfig
from saescope.data.packing import pack as packed
from saescope.disk import make_folder
from saescope.features import bundle, weights
from saescope.features.near_miss import NearMisses
from saescope.features.neurons import NeuronCorrelation
from saescope.features.reducer import PassReducer
from saescope.features.spool import Spool
from saescope.features.store import FeatureStore
from saescope.features.tables import bundle_content
from saescope.files import MANIFEST, ArtifactWriter, canonical_json, read_manifest
from saescope.models.route import Route
from saescope.saes.storage import sae_sha256
from saescope.shapes import Float, Tensor

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How much text the features are described by."""

    n_tokens: int = 1_000_000
    """Counted tokens read (whole sequences, so slightly more), or all of the training documents where they are fewer."""
    sampled_share: float = 0.1
    """Share of the sequences, chosen by hash, on which near misses are sought and neurons correlated."""
    coactive_tokens: int = 100_000
    """Expected number of tokens, chosen by hash, on which pairs of features are counted; all where there are <= 4,096 features."""
    seed: int = 0
    """Of the order of the documents, and of every choice by hash."""

    def __post_init__(self) -> None:
        for name in ("n_tokens", "coactive_tokens"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(f"{name}={getattr(self, name)} leaves nothing to read. Expected at least 1.")
        if not 0 <= self.sampled_share <= 1:
            raise errors.ConfigError(f"sampled_share={self.sampled_share} is no share. Expected a number from 0 to 1.")


def build_features(
    sae: Dictionary,
    lm: "LanguageModel",
    at: "str | HookPoint | Route",
    text: Corpus,
    folder: Path | str,
    cfg: FeatureConfig | None = None,
    *,
    pack: PackConfig,
    progress: Callable[[int], None] | None = None,
) -> FeatureStore:
    """Describe every latent of `sae` at hook point `at` by the training documents of `text`, as a bundle in `folder`.

    The text is the corpus's "train" part in the order of epoch 0 of `cfg.seed` (a Hub stream: in its own order): documents that
    are held out are never read. A folder that holds the finished bundle of the same arguments is opened, not built again.
    `at` may be a `Route`: latents are read from what it reads, logit effects go through what it writes (of a crosscoder, its last
    hook point). `progress` is called with the counted tokens read.
    Raises: WidthMismatch, UnknownHookPoint, NoTokens, NonFiniteActivations, OutputOccupied, DiskFull, OutputNotWritable.
    """
    cfg, route, folder = cfg or FeatureConfig(), Route.of(lm, at), Path(folder)
    if (width := route.d_in(lm)) != sae.d_in:
        raise errors.WidthMismatch(
            f"the dictionary reads d_in={sae.d_in}, but {route.input} of {lm.name} is {width} wide. "
            f"Give the hook point it was trained at (--at); list all: saescope hooks {lm.name}"
        )
    config = {"features": asdict(cfg), "pack": asdict(pack)}
    origin = _origin(sae, lm, route, text, cfg)
    if _is_finished(folder, config, origin):
        return FeatureStore.open(folder)
    make_folder(folder)
    for left in folder.glob("tmp-*"):
        left.unlink()
    with torch.no_grad():
        W_dec = weights.directions(sae)
        sampled = _sampled_reducers(sae, W_dec, route, cfg)
        spool = Spool(folder / "parts", sae.d_sae, sampled, {"config": config, "provenance": origin})
        batches = packed(text.documents("train", epoch=0, seed=cfg.seed), lm.tokenizer, pack)
        _encode(sae, lm, route.input, batches, spool, cfg.n_tokens, progress)
        _write(folder, config, origin, bundle_content(sae, lm, route, W_dec, spool, cfg.seed, cfg.coactive_tokens))
    spool.remove()
    return FeatureStore.open(folder, verify="size")


def _sampled_reducers(sae: Dictionary, W_dec: Float[Tensor, "d_sae d_out"], route: Route, cfg: FeatureConfig) -> dict[str, PassReducer]:
    """What must be reduced while x is there."""
    reducers: dict[str, PassReducer] = {"near_misses": NearMisses(sae, cfg.seed, cfg.sampled_share)}
    if route.only is not None and route.only.kind == "mlp_post" and W_dec.shape[1] == sae.d_in:
        reducers["neurons"] = NeuronCorrelation(W_dec, cfg.seed, cfg.sampled_share)
    return reducers


def _encode(sae, lm, route: Route, batches, spool: Spool, n_tokens: int, progress) -> None:
    """The one pass, from where the spool's cursor stands; parts are committed between batches."""
    before, read = spool.n_tokens, spool.n_batches

    def after_batch(done: int) -> None:
        nonlocal read
        read += 1
        if spool.full:
            spool.commit(read, before + done)
        if progress:
            progress(before + done)

    if before < n_tokens:
        reducers: list[Reducer] = [spool, *spool.others.values()]
        rest = islice(batches, read, None)
        done = encode_pass(lm, route, rest, {"sae": (EncodeOnly(sae), reducers)}, n_tokens=n_tokens - before, progress=after_batch)
        spool.commit(read, before + done)


def _write(folder: Path, config: dict[str, Any], origin: dict[str, Any], content: dict[str, Any]) -> None:
    writer = ArtifactWriter(folder, bundle.SCHEMA, bundle.VERSION)
    for name in ("features", "pairs", "tokens_fired", "vocab"):
        types, columns = content[name]
        writer.add_file(f"{name}-0", "parquet", partial(bundle.write_table, types=types, columns=columns))
    for name in ("examples", "tokens"):
        writer.add_tensors(f"{name}-0", content[name])
    writer.commit(config=config, provenance=origin, state=content["state"])


def _origin(sae, lm, route: Route, text: Corpus, cfg: FeatureConfig) -> dict[str, Any]:
    """What the bundle was made from; together with the configs it decides every byte."""
    order = "file order" if text.streaming else f"epoch 0 of seed {cfg.seed}"
    origin = {
        "sae_sha256": sae_sha256(sae),
        **lm.fingerprint,
        "hook_point": str(route),
        "corpus": text.name,
        "corpus_sha256": text.sha256,
        "text_part": f"train, {order}",
        "saescope": __version__,
    }
    return json.loads(canonical_json(origin))  # as it will be read back


def _is_finished(folder: Path, config: dict[str, Any], origin: dict[str, Any]) -> bool:
    try:
        manifest = read_manifest(folder, bundle.SCHEMA, bundle.VERSION)
    except (errors.CorruptArtifact, errors.NewerSchema):
        return False
    except errors.NotAnArtifact as error:
        if (folder / MANIFEST).exists():
            raise errors.OutputOccupied(f"{folder} holds another kind of artifact ({error}) Choose another folder with --out.") from error
        return False
    return canonical_json([manifest.config, manifest.provenance]) == canonical_json([config, origin])
