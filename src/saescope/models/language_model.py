"""The one door to the transformer: read, edit and stop a forward pass of an untouched Hugging Face model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saescope import errors
from saescope.models import calls, fingerprint
from saescope.models import module_map as maps
from saescope.models.edit import Edit, columns
from saescope.models.hook_point import HookPoint
from saescope.models.hooks import Session, Stop
from saescope.models.microbatch import Microbatch
from saescope.models.module_map import ModuleMap, Site
from saescope.models.points import HookInfo, Points, embedded_ids
from saescope.models.tokenizer import Tokenizer
from saescope.shapes import Bool, Float, Int, Tensor


@dataclass
class Run:
    """What one pass gave. `run["blocks.3.mlp_post"]` is `run.acts[HookPoint(3, "mlp_post")]`."""

    logits: Float[Tensor, "batch pos d_vocab"] | None
    """None when the pass was stopped early."""
    acts: dict[HookPoint, Float[Tensor, "batch pos d"]] = field(default_factory=dict)

    def __getitem__(self, at: str | HookPoint) -> Float[Tensor, "batch pos d"]:
        return self.acts[HookPoint.parse(at)]


class LanguageModel:
    """A causal language model as a subject of study. Nothing is folded or centred: logits equal Hugging Face's bit for bit.

    `LanguageModel(hf, tokenizer)` takes a model that is in memory already. It is put in eval mode and its parameters are frozen
    (`requires_grad_(False)`), so that plain runs make no graph; nothing else about it changes.

    Raises: UnknownModel if no module map fits; ModelError if it was compiled, or does not know all ids of the tokenizer.
    """

    def __init__(self, hf: nn.Module, tokenizer: Any, *, module_map: ModuleMap | Mapping[str, str | None] | None = None):
        calls.refuse_compiled(hf)
        self.hf: Any = hf.eval().requires_grad_(False)
        self.tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer(tokenizer)
        self.revision = "local"
        self._options = calls.options_of(hf)
        self._microbatch = Microbatch()
        self._standing: Session | None = None
        n_ids, n_rows = self.tokenizer.vocab_size, embedded_ids(hf)
        if n_rows is not None and n_ids > n_rows:
            raise errors.ModelError(
                f"the tokenizer has {n_ids:,} ids, but {type(hf).__name__} embeds only {n_rows:,}. Give the tokenizer of this model."
            )
        self._points = Points(hf, module_map, self._forward, n_rows or n_ids)
        self.name = Path(getattr(getattr(hf, "config", None), "_name_or_path", "")).name or type(hf).__name__

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "auto",
        revision: str | None = None,
        module_map: ModuleMap | Mapping[str, str | None] | None = None,
        trust_remote_code: bool = False,
    ) -> "LanguageModel":
        """The model of a local folder or a Hub name. "auto": the dtype of the weights; cuda, mps or cpu, whichever there is.

        Raises: UnknownModel, HubUnreachable, CorruptArtifact, ConfigError (dtype or device).
        """
        from saescope.models.loading import load

        loaded = load(name_or_path, dtype=dtype, device=device, revision=revision, trust_remote_code=trust_remote_code)
        lm = cls(loaded.hf, loaded.tokenizer, module_map=module_map)
        lm.name, lm.revision = loaded.name, loaded.revision
        return lm

    # --- what it is ----------------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Folder or Hub name; never a path."""
        return self._points.model_name

    @name.setter
    def name(self, name: str) -> None:
        self._points.model_name = name

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        return next(self.hf.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.hf.parameters() if p.is_floating_point())

    @property
    def n_layers(self) -> int:
        return self._points.n_layers

    @property
    def d_model(self) -> int:
        return self._points.widths[HookPoint(0, "resid_post")]

    @property
    def d_vocab(self) -> int:
        """Logits for each position; can be more than the tokenizer has ids."""
        return self._points.d_vocab

    @cached_property
    def context_length(self) -> int:
        """Longest sequence the model was made for; 2048 where nothing says."""
        config = getattr(self.hf, "config", None)
        for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if isinstance(value := getattr(config, key, None), int) and value > 0:
                return value
        return self.tokenizer.max_length or 2048

    @property
    def final_norm(self) -> nn.Module | None:
        path = self._points.map.final_norm
        path = maps.find(self.hf, path) if path else None
        return self.hf.get_submodule(path) if path else None

    @property
    def unembedding(self) -> nn.Module:
        """The map from the normed stream to logits. Raises: UnknownModel if the model does not say which it is."""
        module = self.hf.get_output_embeddings() if hasattr(self.hf, "get_output_embeddings") else None
        if module is None:
            raise errors.UnknownModel(f"{self.name} has no get_output_embeddings(), so its unembedding is not known. Define that method.")
        return module

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Which model this is, for provenance: no paths, but hashes of what it computes with."""
        config = getattr(self.hf, "config", None)
        return {
            "model": self.name,
            "revision": self.revision,
            "model_type": getattr(config, "model_type", type(self.hf).__name__),
            "weights_sha256": fingerprint.weights_sha256(self.hf),
            "tokenizer_sha256": self.tokenizer.sha256,
        }

    # --- hook points ---------------------------------------------------------------------------------------------------------------

    def hook_points(self) -> list[HookInfo]:
        """Every hook point that passed the identity check, in the order of the forward pass; `refused` has the other kinds."""
        return self._points.infos()

    @property
    def refused(self) -> dict[str, str]:
        """Kinds of hook point that failed the identity check, and by how much."""
        return self._points.refused

    def resolve(self, at: str | HookPoint) -> HookPoint:
        """The hook point of a name, an alias or a module path. Raises: UnknownHookPoint with the nearest names."""
        return self._points.resolve(at)

    def site(self, at: str | HookPoint) -> Site:
        """The module of a hook point, and which side of it."""
        return self._points.site(self.resolve(at))

    def width(self, at: str | HookPoint) -> int:
        """Size of the vectors at a hook point."""
        point, widths = self.resolve(at), self._points.widths
        if point not in widths:
            tokens = torch.zeros(1, 2, dtype=torch.long, device=self.device)
            with torch.no_grad():
                widths[point] = self.run(tokens, read=[point], stop_at=point)[point].shape[-1]
        return widths[point]

    def is_last_block(self, at: str | HookPoint) -> bool:
        return self._points.layer(self.resolve(at)) == self.n_layers - 1

    def stop_after(self, points: Sequence[str | HookPoint]) -> HookPoint | None:
        """Where a pass that reads these points may stop: the last of them. None if only the whole pass is sure to reach them all."""
        return self._points.stop_after(points)

    # --- running -------------------------------------------------------------------------------------------------------------------

    def run(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        mask: Bool[Tensor, "batch total"] | None = None,
        read: Sequence[str | HookPoint] = (),
        edit: Sequence[Edit] = (),
        stop_at: str | HookPoint | None = None,
        cache: Any = None,
    ) -> Run:
        """One forward pass that reads, edits and stops. A read shows the stream after the edits at that point.

        `mask` is False on pads (left or right); with a `cache` (a KV cache of transformers, which this call extends) it covers the
        past too. Reads are copies, detached unless an edit made a graph. Out of memory: the batch runs in parts.

        Raises: UnknownHookPoint; ConfigError if a point of `read` lies after `stop_at`, or the mask does not fit.
        """
        calls.refuse_compiled(self.hf)
        tokens = tokens.to(self.device)
        past = cache.get_seq_length() if cache is not None else 0
        real_BP = calls.real_columns(tokens, mask, past)
        options: dict[str, Any] = calls.padding_options(mask, past, self.device)
        if cache is not None:
            options |= {"past_key_values": cache, "use_cache": True}
        points = [self.resolve(at) for at in read]
        standing = self._standing.edits if self._standing else ()
        session = self._session(points, [*standing, *edit], self.resolve(stop_at) if stop_at is not None else None)
        where = [columns(e.positions, real_BP, past) for e in session.edits]

        def part(rows: slice) -> Run:
            session.begin([where_BP[rows] for where_BP in where])
            logits = self._forward(tokens[rows], **{key: v[rows] if isinstance(v, Tensor) else v for key, v in options.items()})
            return Run(logits, session.acts)

        may_split = cache is None and not (session.edits and torch.is_grad_enabled())
        with _silent(self._standing), session.installed():
            parts = self._microbatch.map(part, *tokens.shape, may_split=may_split)
        run = parts[0] if len(parts) == 1 else _joined(parts)
        if missing := [str(at) for at in points if at not in run.acts]:
            why = "no forward pass calls that module" if stop_at is None else f"the pass stopped at {stop_at}"
            raise errors.ConfigError(f"{', '.join(missing)} was not reached: {why}. Read it with a later stop_at, or name another point.")
        return run

    @contextmanager
    def edit(self, *edits: Edit) -> Iterator["LanguageModel"]:
        """Edits installed for a `with` block: they hold in `run`, in `hf(...)` and in `hf.generate(...)`. Blocks nest."""
        calls.refuse_compiled(self.hf)
        outer = self._standing
        session = self._session([], [*(outer.edits if outer else ()), *edits], None)

        def locate(_: nn.Module, args: tuple, kwargs: dict) -> None:
            real_BP, past = calls.columns_of_call(args, kwargs)
            if session.active:
                session.begin([columns(e.positions, real_BP, past) for e in session.edits])

        handle = self.hf.register_forward_pre_hook(locate, prepend=True, with_kwargs=True)
        self._standing = session
        try:
            with _silent(outer), session.installed():
                yield self
        finally:
            handle.remove()
            self._standing = outer

    # --- inside --------------------------------------------------------------------------------------------------------------------

    def _forward(self, tokens: Tensor, **options: Any) -> Tensor | None:
        """Logits, or None if a hook stopped the pass."""
        options.setdefault("use_cache", False)
        try:
            return calls.logits_of(self.hf(tokens, **{key: value for key, value in options.items() if key in self._options}))
        except Stop:
            return None

    def _session(self, read: Sequence[HookPoint], edits: Sequence[Edit], stop: HookPoint | None) -> Session:
        points = {*read, *(self.resolve(e.at) for e in edits), *(self.resolve(e.reads) for e in edits), *([stop] if stop else [])}
        return Session({at: self.site(at) for at in points}, read=read, edits=edits, stop=stop)


@contextmanager
def _silent(standing: Session | None) -> Iterator[None]:
    """Standing edits switched off: another session has taken them over, so that its reads come after them."""
    if standing is None:
        yield
        return
    was, standing.active = standing.active, False
    try:
        yield
    finally:
        standing.active = was


def _joined(parts: Sequence[Run]) -> Run:
    acts = {at: torch.cat([part.acts[at] for part in parts]) for at in parts[0].acts}
    logits = [part.logits for part in parts if part.logits is not None]
    return Run(torch.cat(logits) if logits else None, acts)
