"""End-to-end training: what counts is not x_hat, but what the rest of the model makes of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from saescope.activations.shuffle import PoolPlan
from saescope.activations.source import ActivationSource, NonFiniteGuard, StepBatch
from saescope.activations.stream import StreamSource
from saescope.errors import ConfigError
from saescope.saes.losses import mse
from saescope.shapes import Bool, Float, Tensor
from saescope.training.objective import Given
from saescope.training.readout import Readout, mean_kl
from saescope.training.sequences import whole_sequences

if TYPE_CHECKING:
    from saescope.data.packing import TokenBatch
    from saescope.interventions.edits import Patch
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel


@dataclass(frozen=True)
class CleanBatch(StepBatch):
    """A step's text and rows, with what the unedited model holds further on: one clean pass serves every SAE of the step."""

    clean: "Mapping[HookPoint | None, Tensor]" = field(default_factory=dict)
    """By later hook point, the rows of the counted tokens; None: their logits, where the model has no `Readout.at`."""


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """Loss through the rest of the model, which is frozen, with x_hat in place of the counted activations:

        loss / d = w (kl KL(p_clean || p_sae) + downstream mean_l mean_d (s_l (h_l - h_clean_l))^2) + (mse MSE + the SAE's other terms) / d

    KL is in nats, both are means over the counted tokens; l runs over `downstream_at`, s_l brings h_clean_l to unit mean square.
    Coefficients of the SAE's own terms keep their units (E||x||^2 = d), so sparsity weighs as much against KL as against MSE / d.
    w is 1; with `balance` it is chosen at each step so that the first term's gradient on W_dec is as large as that of MSE.

    The gradient passes x_hat itself: positions that do not count (BOS, position 0) keep x. Without KL the pass ends at the last
    point of `downstream_at`. Works for every architecture; a transcoder's x_hat replaces its target.
    Source: Braun et al. 2024, "Identifying functionally important features with end-to-end sparse dictionary learning". We differ:
    their downstream errors are in the model's raw units; `balance` is ours.

    Raises: ConfigError for weights out of range, or `downstream` without a place.
    """

    lm: "LanguageModel"
    kl: float = 1.0
    downstream: float = 0.0
    downstream_at: "Sequence[str | HookPoint]" = ()
    mse: float = 0.0
    balance: bool = False
    readout: Readout | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("kl", "downstream", "mse"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name}={getattr(self, name)} weighs a term of the loss. It must be at least 0.")
        if self.kl == 0 and self.downstream == 0:
            raise ConfigError("kl=0 and downstream=0 leave nothing to train on through the model. Raise one, or train by reconstruction.")
        if bool(self.downstream) != bool(self.downstream_at):
            raise ConfigError(
                f"downstream={self.downstream:g} was given with {len(self.downstream_at)} hook points. A weight above 0 needs points "
                "behind the SAE's own, and points need a weight: set downstream and downstream_at together."
            )
        object.__setattr__(self, "downstream_at", tuple(self.lm.resolve(at) for at in self.downstream_at))
        object.__setattr__(self, "readout", Readout(self.lm) if self.kl else None)

    @property
    def stated(self) -> dict[str, Any]:
        """The objective as JSON."""
        weights = {name: getattr(self, name) for name in ("kl", "downstream", "mse", "balance")}
        return {"objective": "end_to_end", **weights, "downstream_at": [str(at) for at in self.downstream_at]}

    def batches(self, source: ActivationSource, plan: PoolPlan, first_step: int) -> Iterator[CleanBatch]:
        """Whole sequences in stream order; those of steps before `first_step` are tokenised, not run.

        Raises: ConfigError for a source without text, of another model, or whose sequences are longer than a step.
        """
        stream = self.text_of(source, plan.batch_tokens)
        guard = NonFiniteGuard(" + ".join(map(str, stream.points)))
        texts = whole_sequences(stream.token_batches(seed=plan.seed), plan.batch_tokens, first_step=first_step)
        for text in islice(texts, plan.n_steps - first_step):
            yield self._clean(stream, text, guard)

    def __call__(self, given: Given) -> dict[str, Float[Tensor, ""]]:
        sae, batch = given.sae, given.batch
        assert isinstance(batch, CleanBatch), "the batches of EndToEnd hold what the clean model does"
        terms = sae.loss(given.x, given.target, given.state)
        latents_NF = sae.training_latents(sae.pre_acts(given.x))
        x_hat = sae.reconstruct(given.x, latents_NF)
        error_ND = x_hat.detach() - given.target
        # The model's graph begins at a leaf: it is gone before the SAE's own backward pass begins.
        leaf = x_hat.detach().requires_grad_()
        with frozen(self.lm):
            found = self._through(given, leaf, batch)
            total = sum(getattr(self, name) * value for name, value in found.items())
            (gradient_ND,) = torch.autograd.grad(total, leaf)
        weight = float(sae.d_out) * torch.ones_like(total)
        if self.balance:
            own = (latents_NF.detach().T @ error_ND).norm() * 2 / len(error_ND)
            through = (latents_NF.detach().T @ gradient_ND).norm()
            weight = torch.where(through > 0, own / through, weight)
        given.state.observed.update({**{name: value.detach() for name, value in found.items()}, "squared_error": mse(error_ND)})
        ours = {"end_to_end": _Known.apply(x_hat, (weight * total).detach(), weight * gradient_ND)}
        if self.mse:
            ours["mse"] = self.mse * terms["mse"]
        return ours | {name: term for name, term in terms.items() if name != "mse"}

    def text_of(self, source: ActivationSource, batch_tokens: int) -> StreamSource:
        """The source, if its text can be run in steps of so many tokens. Raises: ConfigError."""
        if not isinstance(source, StreamSource):
            raise ConfigError(
                f"end-to-end training runs text through the model, but a {type(source).__name__} holds activations only. "
                "Give a StreamSource; on the command line, a model and --text."
            )
        if source.lm is not self.lm:
            raise ConfigError(f"the source reads {source.lm.name}, the objective another instance of a model. Give both the same one.")
        if source.pack.context > batch_tokens:
            raise ConfigError(
                f"a step of {batch_tokens} tokens cannot hold a sequence of up to {source.pack.context}: end-to-end training "
                "reads whole ones. Raise --batch-tokens, or lower --context."
            )
        return source

    @property
    def _later(self) -> "list[HookPoint]":
        return [*self.downstream_at, *([self.readout.at] if self.readout is not None and self.readout.at is not None else [])]  # type: ignore[list-item]

    def _run(self, text: "TokenBatch", read: "Sequence[HookPoint]", edit: Sequence[Any] = ()) -> "dict[HookPoint | None, Tensor]":
        """Rows of the counted tokens at `read`; under None their logits, where only these can be had."""
        stop = self.lm.stop_after(read) if self.readout is None else self.readout.at
        run = self.lm.run(text.tokens, mask=text.mask, read=read, edit=edit, stop_at=stop)
        counted = text.counted.to(self.lm.device)
        rows: dict[HookPoint | None, Tensor] = {at: run.acts[at][counted] for at in read}
        if self.readout is not None and self.readout.at is None:
            assert run.logits is not None, "the pass went to its end"
            rows[None] = run.logits[counted]
        return rows

    @torch.no_grad()
    def _clean(self, stream: StreamSource, text: "TokenBatch", guard: NonFiniteGuard) -> CleanBatch:
        rows = self._run(text, [*dict.fromkeys([*stream.points, *self._later])])
        finite = torch.stack([value.isfinite().all(1) for value in rows.values()]).all(0)
        guard.count(finite)
        if not bool(finite.all()):
            counted = text.counted.clone()
            counted[text.counted] = finite.to(counted.device)
            text, rows = replace(text, counted=counted), {at: value[finite] for at, value in rows.items()}
        read = torch.cat([rows[at] for at in stream.points], dim=1)
        return CleanBatch(read, text, {at: value for at, value in rows.items() if at is None or at in self._later})

    def _through(self, given: Given, x_hat: Tensor, batch: CleanBatch) -> dict[str, Tensor]:
        """What the model does with x_hat [n d_out] (scaled), beside what it does with x."""
        assert batch.text is not None, "a CleanBatch has its text"
        columns = given.columns
        points = columns.read if columns.target is None else (columns.target,)
        pieces = columns.raw(x_hat).split([self.lm.width(at) for at in points], dim=1)
        edits = [put(at, piece, batch.text.counted) for at, piece in zip(points, pieces, strict=True)]
        rows = self._run(batch.text, self._later, edits)
        for at, value in rows.items():
            if not value.requires_grad:
                raise ConfigError(
                    f"{at} does not depend on what stands at {points[0]}, so no gradient comes back from it. "
                    f"Name hook points behind {points[0]}: set --downstream-at."
                )
        found: dict[str, Tensor] = {}
        if self.readout is not None:
            at = self.readout.at
            found["kl"] = mean_kl(batch.clean[at], rows[at], self.readout.logits, self.readout.chunk(self.lm.d_vocab))
        if self.downstream_at:
            errors = [relative_error(batch.clean[at], rows[at]) for at in self.downstream_at]  # type: ignore[index]
            found["downstream"] = torch.stack([error.to(errors[0].device) for error in errors]).mean()
        return {name: value.to(x_hat.device) for name, value in found.items()}


def later_points(lm: "LanguageModel", at: "HookPoint") -> "list[HookPoint]":
    """The residual stream after every block that comes behind a hook point, its own block's included where it lies before its end.

    Raises: ConfigError where there is none, or the point's block is not known.
    """
    later = [] if at.layer is None else [info.at for info in lm.hook_points() if info.at.kind == "resid_post" and info.at > at]
    if not later:
        raise ConfigError(f"no residual stream of a block lies behind {at} in {lm.name}. Name hook points: --downstream-at A,B.")
    return later


def relative_error(clean: Float[Tensor, "n d"], edited: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """mean_n mean_d (edited - clean)^2 / mean_n mean_d clean^2."""
    clean = clean.float()
    return (edited.float() - clean).square().mean() / clean.square().mean().clamp_min(torch.finfo(torch.float32).tiny)


def put(at: "HookPoint", vectors: Float[Tensor, "n d"], positions: Bool[Tensor, "batch pos"]) -> "Patch":
    """x' = given vectors, one for each marked position: an edit that carries their gradient."""
    from saescope.interventions.edits import Patch

    marked = positions.to(vectors.device)
    value = vectors.new_zeros(*marked.shape, vectors.shape[1]).masked_scatter(marked[..., None], vectors)
    return Patch(value, at, positions=positions)


@contextmanager
def frozen(lm: "LanguageModel") -> Iterator[None]:
    """No parameter of the model takes a gradient inside the block; afterwards those that did do again."""
    trained = [p for p in lm.hf.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


class _Known(torch.autograd.Function):
    """A number whose gradient for x_hat is known already."""

    @staticmethod
    def forward(ctx: Any, x_hat: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None, None
