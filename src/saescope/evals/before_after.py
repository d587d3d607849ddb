"""`before_after`: the top texts of a polysemantic neuron beside those of a feature, and how much the texts of each agree.

The pair is chosen on the selection documents S and measured on the report documents R. One pair can be picked, so the same is
measured of every neuron and every latent, and of random texts. A neuron counts where it is positive.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saescope._version import __version__
from saescope.config import to_dict
from saescope.data.corpus import Corpus
from saescope.data.packing import PackConfig
from saescope.errors import ConfigError, NoTokens
from saescope.evals.before_after_result import BeforeAfter, Column, Kind, Population, ShownText
from saescope.evals.pair import Pair, choose
from saescope.evals.rows import check_rows
from saescope.evals.standing import measure_rows
from saescope.evals.text_passes import Progress, TextPasses
from saescope.evals.top_texts import REACH, Reading, ReadTokens, Top
from saescope.evals.topic_convergence import FAMILIES, Convergence, random_sets
from saescope.models.route import Route
from saescope.render.token_row import mark
from saescope.saes.storage import sae_sha256

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel
    from saescope.saes.base import SAE


@dataclass(frozen=True, kw_only=True)
class BeforeAfterConfig:
    """Which pair, and on how much text it is chosen and measured."""

    neuron: int | None = None
    """A coordinate of the hook point; None: the alive one that is spread most evenly over what texts are about or, where the
    corpus does not say what they are about, the one whose top texts agree least."""
    feature: int | None = None
    """A latent; None: of those that fire in `texts` documents and on varied tokens, the one most correlated with the neuron."""
    report_tokens: int = 500_000
    """Counted tokens of R that top texts are taken from."""
    select_tokens: int = 100_000
    """Counted tokens of S that the pair is chosen on."""
    texts: int = 50
    """Top texts measured of every neuron and latent, one per document."""
    shown: int = 5
    """How many of them are shown."""
    random_sets: int = 1000
    """Sets of random texts."""
    families: tuple[str, ...] = FAMILIES
    """Families of labels that say what a text is about, the most telling first; those that the corpus lacks are passed over."""
    entropy: float = 2.0
    """Bits: a feature chosen here has its `texts` strongest activations on tokens more varied than that."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"report_tokens": 1, "select_tokens": 1, "texts": 2, "shown": 1, "random_sets": 2}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)} was asked for. It must be at least {least}.")


def before_after(
    sae: "SAE",
    lm: "LanguageModel",
    at: "HookPoint | str | Route",
    text: Corpus,
    cfg: BeforeAfterConfig,
    *,
    pack: PackConfig,
    progress: Progress | None = None,
) -> BeforeAfter:
    """Top texts of a neuron and of a feature, their agreement, and that of all neurons, all latents and random texts.

    Raises: ConfigError (no such neuron or feature; one that is positive in too few report documents), WidthMismatch, NoTokens
    (too few documents; no neuron or feature to choose), UnknownHookPoint, NonFiniteActivations.
    """
    route = Route.of(lm, at)
    check_rows({"sae": sae}, lm, route)
    _check_exists("neuron", cfg.neuron, sae.d_in, f"{route.input} of {lm.name}")
    _check_exists("feature", cfg.feature, sae.d_sae, "the SAE")
    passes = TextPasses(sae, lm, route.input, text, pack, cfg.families, progress or (lambda *_: None))
    pair, warning = choose(passes, cfg.select_tokens, cfg.texts, cfg.entropy, neuron=cfg.neuron, feature=cfg.feature)
    watched = ReadTokens(latent=pair.feature, neuron=pair.neuron)
    reading, top = passes.top_texts("texts", passes.report(cfg.report_tokens), cfg.report_tokens, cfg.texts, watched)
    _check_enough(pair, reading, top, sae.d_sae)
    n_tokens, warnings = int(reading.counted.sum()), () if warning is None else (_stood_in(warning),)
    provenance = lm.fingerprint | {
        "sae_sha256": sae_sha256(sae),
        "hook_point": str(route),
        "corpus": text.name,
        "corpus_sha256": text.sha256,
        "n_tokens": n_tokens,
        "n_documents": reading.n_documents,
        "context_length": pack.context,
        "packing": pack.packing,
        "config": to_dict(cfg),
        "version": __version__,
    }
    return _measured(passes, pair, reading, top, cfg, warnings=warnings, provenance=provenance)


def _measured(
    passes: TextPasses,
    pair: Pair,
    reading: Reading,
    top: Top,
    cfg: BeforeAfterConfig,
    *,
    warnings: tuple[str, ...],
    provenance: dict[str, Any],
) -> BeforeAfter:
    """Everything that is read off R."""
    F, k = passes.sae.d_sae, cfg.texts
    random = random_sets(reading, k, cfg.random_sets, seed=cfg.seed)
    whole = np.flatnonzero(top.n == k)
    convergence = Convergence(reading, passes.subjects, passes.lm.tokenizer)
    values = convergence(np.concatenate([top.places[whole], random]))
    places_of_pair = top.places[[F + pair.neuron, pair.feature]]
    is_pair = [np.flatnonzero(whole == unit)[0] for unit in (F + pair.neuron, pair.feature)]
    groups = (is_pair, np.flatnonzero(whole >= F), np.flatnonzero(whole < F), np.arange(len(whole), len(whole) + len(random)))
    show = _Shown(passes.lm, reading, convergence, cfg.shown)
    return BeforeAfter(
        neuron=show.column("neuron", pair.neuron, pair.why_neuron, places_of_pair[0]),
        feature=show.column("feature", pair.feature, pair.why_feature, places_of_pair[1]),
        random=show.column("random", None, "no two of one document", random[0]),
        measures=measure_rows(*({key: column[group] for key, column in values.items()} for group in groups)),
        neurons=_population(top.n[F:], k),
        latents=_population(top.n[:F], k),
        n_texts=k,
        warnings=warnings,
        provenance=provenance,
    )


class _Shown:
    """Texts of a reading, as they are shown."""

    def __init__(self, lm: "LanguageModel", reading: Reading, convergence: Convergence, n: int):
        self.tokenizer, self.reading, self.convergence, self.n = lm.tokenizer, reading, convergence, n

    def column(self, kind: Kind, id: int | None, how: str, places: np.ndarray) -> Column:
        """`places` are all that are measured; the first are shown."""
        agree = self.convergence.agreement(places[None])
        modal = (
            {}
            if agree is None or agree.share[0] == 0
            else {"modal": self.convergence.names[agree.modal[0]], "modal_share": float(agree.share[0])}
        )
        return Column(kind=kind, id=id, how=how, texts=tuple(self._text(kind, int(place)) for place in places[: self.n]), **modal)

    def _text(self, kind: Kind, place: int) -> ShownText:
        wide, inside = self.reading.around(np.array([place]))
        own = wide[inside]
        ids = [int(i) for i in self.reading.tokens[own]]
        acts = np.zeros(len(own)) if kind == "random" else self.reading.acts[own, 0 if kind == "feature" else 1]
        return ShownText(
            doc=int(self.reading.docs[place]),
            position=int(self.reading.positions[place]),
            ids=tuple(ids),
            tokens=tuple(mark(self.tokenizer.token_bytes(i)) for i in ids),
            acts=tuple(float(f"{act:.6g}") for act in acts),
            peak_at=int(inside[0, :REACH].sum()),
            specials=tuple(k for k, i in enumerate(ids) if i in self.tokenizer.special_ids),
            label=self.convergence.about(place),
        )


def _population(n_texts: np.ndarray, k: int) -> Population:
    return Population(n=len(n_texts), n_silent=int((n_texts == 0).sum()), n_few=int(((n_texts > 0) & (n_texts < k)).sum()))


def _check_exists(name: str, number: int | None, n: int, where: str) -> None:
    if number is not None and not 0 <= number < n:
        raise ConfigError(f"{name}={number} does not exist: {where} has {n:,} of them, 0 to {n - 1}. Give another --{name}.")


def _check_enough(pair: Pair, reading: Reading, top: Top, d_sae: int) -> None:
    """Raises: NoTokens for too few report documents; ConfigError for a pair that is positive in too few of them."""
    k = top.places.shape[1]
    if reading.n_documents < k:
        raise NoTokens(
            f"there are {reading.n_documents:,} report documents, but {k} texts of one document each are compared. "
            "Give more text, hold out more of it (--holdout FILE), or compare fewer: --texts."
        )
    for name, number, n in (("neuron", pair.neuron, top.n[d_sae + pair.neuron]), ("feature", pair.feature, top.n[pair.feature])):
        if n < k:
            found = (
                f"is positive in {n} of the {reading.n_documents:,} report documents"
                if n
                else f"is dead: it is positive nowhere in the {reading.n_documents:,} report documents"
            )
            raise ConfigError(
                f"{name} {number} {found}, but {k} texts of one document each are compared. "
                f"Give another --{name}, read more (--tokens), or compare fewer: --texts."
            )


def _stood_in(warning: str) -> str:
    return f"{warning.partition(':')[0]}: the pair was chosen on training documents, or on the report documents themselves"
