"""The test that a module map is right, made on the model itself by two forward passes of 2 x 7 tokens.

    resid_post.l     == resid_pre.l + attn_out.l + mlp_out.l
    resid_mid.l      == resid_pre.l + attn_out.l
    resid_pre.{l+1}  == resid_post.l
    mlp_out, attn_out are what the projections behind mlp_post, attn_z write (before a post-norm, if there is one)
    mlp_post.l, mlp_out.l at a position do not move when an earlier token changes and attn_out.l is held

The first three hold elementwise within 8 eps(dtype) * (|pre| + |attn| + |mlp|): a maximum over the tensor would hide faults behind
outlier coordinates. The last one tells attention from the MLP, which the sums cannot: an MLP commutes with a permutation of positions, so
none may depend on another. It needs no module to be called by hand, whose signatures differ by family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

import torch
from torch import nn

from saescope import errors
from saescope.models.hook_point import KINDS, HookPoint
from saescope.models.hooks import Session
from saescope.models.module_map import HOW_TO_MAP, Site
from saescope.shapes import Int, Tensor

TOLERANCE_EPS = 8
N_ROWS, N_POSITIONS = 2, 7
Forward = Callable[[Int[Tensor, "batch pos"]], Tensor]
"""tokens -> logits, by the untouched model."""


@dataclass(frozen=True)
class Verdict:
    """Whether a kind of hook point is what its name says, over all layers."""

    ok: bool
    text: str
    """"ok (0.5 eps)", "not checked: …", or what went wrong and by how much."""


@dataclass(frozen=True)
class Check:
    verdicts: dict[str, Verdict]
    """By kind, those that the map names."""
    widths: dict[HookPoint, int]
    d_vocab: int


def check(hf: nn.Module, sites: Mapping[HookPoint, Site], forward: Forward, vocab_size: int) -> Check:
    """The verdict on every kind of hook point, and the widths seen on the way.

    Raises: UnknownModel if no kind passes; NonFiniteActivations if the model gives NaN or Inf.
    """
    device = next(hf.parameters()).device
    tokens = torch.linspace(0, vocab_size - 1, N_ROWS * N_POSITIONS, device=device).long().view(N_ROWS, N_POSITIONS)
    probes = _projection_sites(sites)
    clean = Session({**sites, **probes}, read=[*sites, *probes], edits=(), stop=None)
    with torch.no_grad(), clean.installed():
        logits = forward(tokens)
    reached = {at: x for at, x in clean.acts.items() if at.layer is not None}
    widths = {at: x.shape[-1] for at, x in reached.items()}
    if device.type == "meta":
        unchecked = Verdict(True, "not checked: the model has no weights (device meta)")
        return Check({kind: unchecked for kind in KINDS if any(at.kind == kind for at in sites)}, widths, logits.shape[-1])
    x = {at: x.to("cpu").to(torch.float64) for at, x in clean.acts.items()}
    _refuse_non_finite(reached)
    eps = torch.finfo(next(iter(reached.values())).dtype).eps
    findings = _Findings(eps, x)
    for layer in range(1 + max(at.layer for at in sites if at.layer is not None)):
        findings.sums(layer)
        findings.projections(layer)
    if findings.passes("attn_out") and all(HookPoint(at.layer, "attn_out") in x for at in sites):
        findings.locality(_with_first_token_changed(sites, clean.acts, forward, tokens, vocab_size))
    verdicts = findings.verdicts(sites)
    if not any(verdict.ok for verdict in verdicts.values()):
        raise errors.UnknownModel(f"no hook point of {type(hf).__name__} is what its name says: {_reasons(verdicts)}. {HOW_TO_MAP}")
    return Check(verdicts, widths, logits.shape[-1])


class _Findings:
    """Gaps by kind, in units of the tolerance's eps; the worst layer is what gets reported."""

    def __init__(self, eps: float, x: Mapping[HookPoint, Tensor]):
        self.eps, self.x = eps, x
        self.gaps: dict[str, tuple[float, str]] = {}

    def sums(self, layer: int) -> None:
        pre, post = self.x[HookPoint(layer, "resid_pre")], self.x[HookPoint(layer, "resid_post")]
        mid, attn, mlp = (self.x.get(HookPoint(layer, kind)) for kind in ("resid_mid", "attn_out", "mlp_out"))
        if (after := self.x.get(HookPoint(layer + 1, "resid_pre"))) is not None:
            self._report(("resid_pre", "resid_post"), self._gap(after, (post,)), f"resid_pre.{layer + 1} == resid_post.{layer}")
        whole = None
        if attn is not None and mlp is not None:
            whole = self._gap(post, (pre, attn, mlp))
            law = f"resid_post == resid_pre + attn_out + mlp_out at layer {layer}"
            if mid is None or whole <= TOLERANCE_EPS:
                self._report(("attn_out", "mlp_out"), whole, law)
        if mid is None:
            return
        first = self._gap(mid, (pre, attn)) if attn is not None else None
        second = self._gap(post, (mid, mlp)) if mlp is not None else None
        if whole is not None and whole <= TOLERANCE_EPS:
            self._report(("resid_mid",), first, f"resid_mid == resid_pre + attn_out at layer {layer}")
            return
        # The sum is wrong, or cannot be made: the stream between attention and MLP tells which half is at fault.
        self._report(("attn_out",), first, f"resid_mid == resid_pre + attn_out at layer {layer}")
        self._report(("mlp_out",), second, f"resid_post == resid_mid + mlp_out at layer {layer}")
        known = [gap for gap in (first, second) if gap is not None]
        self._report(("resid_mid",), min(known, default=None), f"resid_mid lies between attention and MLP at layer {layer}")

    def projections(self, layer: int) -> None:
        for inner, outer in (("attn_z", "attn_out"), ("mlp_post", "mlp_out")):
            written = self.x.get(_probe(layer, inner))
            ends = [x for x in (self.x.get(_probe(layer, outer)), self.x.get(HookPoint(layer, outer))) if x is not None]
            if written is not None and ends:
                gap = min(self._gap(end.view(written.shape) if end.numel() == written.numel() else end, (written,)) for end in ends)
                self._report((inner,), gap, f"the module behind {inner} writes {outer} at layer {layer}")

    def locality(self, moved: Mapping[HookPoint, Tensor]) -> None:
        for at, x_new in moved.items():
            x = self.x[at]
            gap = ((x_new - x).norm() / x.norm().clamp_min(1e-300)).item() / self.eps
            # A token elsewhere may change how rows are grouped (experts), so the last bits may move; attention moves them all.
            law = f"{at.kind} at a position depends on no other position, at layer {at.layer}: are attention and MLP swapped?"
            scaled = gap * TOLERANCE_EPS * self.eps**0.5 if isfinite(gap) else gap
            self._report(("mlp_post",) if at.kind == "mlp_post" else ("attn_out", "mlp_out"), scaled, law)

    def passes(self, kind: str) -> bool:
        return self.gaps.get(kind, (0.0, ""))[0] <= TOLERANCE_EPS

    def verdicts(self, sites: Mapping[HookPoint, Site]) -> dict[str, Verdict]:
        found = {}
        for kind in KINDS:
            points = [at for at in sites if at.kind == kind]
            if missing := [at for at in points if at not in self.x]:
                found[kind] = Verdict(False, f"{missing[0]} was never reached by a forward pass")
            elif points and kind not in self.gaps:
                found[kind] = Verdict(True, "not checked: no identity of this model involves it")
            elif points:
                (gap, law), ok = self.gaps[kind], self.passes(kind)
                found[kind] = Verdict(ok, f"ok ({gap:.2g} eps)" if ok else f"{law}: off by {gap:.2g} eps, allowed {TOLERANCE_EPS}")
        return found

    def _gap(self, whole: Tensor, parts: tuple[Tensor, ...]) -> float:
        """max |whole - sum of parts| / (eps * sum of |parts|), elementwise; infinite where shapes differ."""
        if any(part.shape != whole.shape for part in parts):
            return float("inf")
        error, scale = (whole - torch.stack(parts).sum(0)).abs(), torch.stack(parts).abs().sum(0)
        return torch.where(error == 0, 0.0, error / (self.eps * scale)).max().item()

    def _report(self, kinds: tuple[str, ...], gap: float | None, law: str) -> None:
        for kind in kinds:
            if gap is not None and not gap <= self.gaps.get(kind, (-1.0, ""))[0]:
                self.gaps[kind] = (gap, law)


def _probe(layer: int, kind: str) -> HookPoint:
    """A name for the other side of a hook point's module."""
    return HookPoint(None, f"other side of blocks.{layer}.{kind}")


def _projection_sites(sites: Mapping[HookPoint, Site]) -> dict[HookPoint, Site]:
    """What the projections behind attn_z and mlp_post write, and what the modules of attn_out and mlp_out are given."""
    return {
        _probe(at.layer, at.kind): replace(site, side="input" if site.side == "output" else "output")
        for at, site in sites.items()
        if at.layer is not None and at.kind in ("attn_z", "mlp_post", "attn_out", "mlp_out")
    }


class _Held(Session):
    """Puts back what attention wrote in the clean pass, except at position 0."""

    def __init__(self, *args, clean: Mapping[HookPoint, Tensor], **kwargs):
        super().__init__(*args, **kwargs)
        self.clean = clean

    def _visit(self, points: list[HookPoint], x: Tensor) -> Tensor:
        x = super()._visit(points, x)
        for at in points:
            if at.kind == "attn_out":
                x = torch.cat([x[:, :1], self.clean[at][:, 1:]], 1)
        return x


def _with_first_token_changed(sites, clean, forward: Forward, tokens: Tensor, vocab_size: int) -> dict[HookPoint, Tensor]:
    """mlp_post and mlp_out from position 1 on (position 0 as it was), when the token at position 0 is another one."""
    mlp = [at for at in sites if at.kind in ("mlp_post", "mlp_out") and clean[at].ndim == 3]
    attention = [at for at in sites if at.kind == "attn_out"]
    session = _Held(sites, read=[*mlp, *attention], edits=(), stop=None, clean=clean)
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + vocab_size // 2) % vocab_size
    with torch.no_grad(), session.installed():
        forward(changed)
    return {at: torch.cat([clean[at][:, :1], session.acts[at][:, 1:]], 1).to("cpu").to(torch.float64) for at in mlp}


def _refuse_non_finite(acts: Mapping[HookPoint, Tensor]) -> None:
    for at in sorted(acts):
        if not acts[at].isfinite().all():
            raise errors.NonFiniteActivations(
                f"the model gives NaN or Inf at {at} in {acts[at].dtype} on a short test input. Try another precision: --dtype float32"
            )


def _reasons(verdicts: Mapping[str, Verdict]) -> str:
    return "; ".join(f"{kind}: {verdict.text}" for kind, verdict in verdicts.items() if not verdict.ok) or "no kind was found"
