"""What a page shows, as frozen values: filled by the feature store and the evaluation, drawn by `card.py`, `terminal.py` and `web/`.

Everything here is plain Python (str, int, float, bytes, tuple): no tensors, no arrays, no markup. Text is never escaped or
marked beforehand; token bytes are the tokenizer's exact bytes. Numbers that do not exist are None, never NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from saescope.render.before_after import BeforeAfterView
    from saescope.render.labels import LabelTable
    from saescope.render.training_curves import TrainingCurves

ExampleKind = Literal["top", "random", "stratum", "near_miss"]
Status = Literal["ok", "skipped", "missing", "error"]
FLAGS = {1: "dead", 2: "dense", 4: "single token", 8: "position", 16: "duplicate", 32: "signed"}
"""Names of the bits of the bundle's column `flags`."""


def flag_names(bits: int) -> tuple[str, ...]:
    """Names of the flags set in a bit field of the bundle."""
    return tuple(name for bit, name in FLAGS.items() if bits & bit)


@dataclass(frozen=True, kw_only=True)
class ActivationHistogram:
    """How strongly a feature fires, over its active tokens; `top` is M, the power of two at or above max abs(f).

    log: 64 bins, bin = min(63, floor(4 log2(M / abs(f)))): bin 0 is the strongest quarter octave, bin 63 holds all below M / 2**15.75.
    lin: 64 equal bins of (0, M], weakest first.
    """

    log: tuple[int, ...]
    lin: tuple[int, ...] = ()
    top: float


@dataclass(frozen=True, kw_only=True)
class LogitHistogram:
    """Counts of the V logit effects on equal bins of [lo, hi]."""

    counts: tuple[int, ...]
    lo: float
    hi: float


@dataclass(frozen=True)
class TokenValue:
    """One vocabulary token in a list (a logit effect, or the times a token fired); `token` is `Tokenizer.display(id)`."""

    token: str
    value: float
    id: int | None = None


@dataclass(frozen=True)
class NeuronRow:
    """One coordinate of the hook point: its weight in W_dec[i] and its Pearson correlation with the feature."""

    id: int
    weight: float
    corr: float | None = None


@dataclass(frozen=True)
class Neighbour:
    """Another feature near this one; `value` is a cosine or a correlation, as the kind says."""

    id: int
    value: float
    top_token: str = ""


@dataclass(frozen=True)
class NeighbourGroup:
    """Neighbours of one kind: "decoder cosine", "fires together (phi)", ..."""

    title: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True)
class ExampleView:
    """One window of text with the feature's activation on each token."""

    tokens: tuple[bytes, ...]
    """Exact bytes of each token of the window."""
    acts: tuple[float, ...]
    """Activation on each token; 0 is silent. As long as `tokens`."""
    peak_at: int
    """Index in the window of the token this example is about."""
    peak: float = 0.0
    """Activation there (for a near miss: its pre-activation)."""
    doc: int | None = None
    position: int | None = None
    """Column of the peak in its sequence."""
    copies: int = 1
    """Identical windows folded into this one."""
    ids: tuple[int, ...] = ()
    doc_edges: tuple[int, ...] = ()
    """Indices before which another document begins: drawn as dividers."""
    specials: tuple[int, ...] = ()
    """Indices of special tokens (BOS, ...), whose activations do not count."""

    def __post_init__(self):
        assert len(self.acts) == len(self.tokens), f"{len(self.acts)} activations for {len(self.tokens)} tokens"
        assert 0 <= self.peak_at < max(1, len(self.tokens)), f"peak_at={self.peak_at} is outside the window of {len(self.tokens)} tokens"


@dataclass(frozen=True, kw_only=True)
class ExampleGroup:
    """Examples of one kind. A stratum states its edges, the active tokens in it, and their share of all active tokens."""

    kind: ExampleKind
    examples: tuple[ExampleView, ...]
    title: str = ""
    """Empty: the kind's own name."""
    lo: float | None = None
    hi: float | None = None
    """The stratum is the activations in (lo, hi]."""
    n: int | None = None
    share: float | None = None


@dataclass(frozen=True)
class ConceptInterval:
    """Active tokens of one interval of activation: the share of them that has the label (None: there are none), and their number."""

    share: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class ConceptView:
    """The label a feature is best at, of a text whose labels are known. Chosen on its selection part S, measured on its report part R."""

    family: str
    label: str
    precision: float | None
    """Share of its active tokens that have the label."""
    recall: float | None
    """Share of the label's tokens on which it is on."""
    purity: float | None
    """Mean over the intervals of (share - base) / (1 - base), clipped to [0, 1]; None: too few tokens."""
    base: float | None
    """Share of the label in the text."""
    intervals: tuple[ConceptInterval, ...] = ()
    """11 equal intervals of (0, max], weakest first."""
    corpus: str = ""
    n_select: int = 0
    """Tokens of S and ..."""
    n_report: int = 0
    """... of R that were read."""

    @property
    def name(self) -> str:
        return f"{self.family}: {self.label}"


@dataclass(frozen=True, kw_only=True)
class FeatureCard:
    """All that a card shows of one feature. Columns are those of the feature bundle; None and () are left out of the card."""

    id: int
    n_active: int
    n_tokens: int
    density: float
    max_act: float
    mean_act: float = 0.0
    mass_share: float | None = None
    enc_dec_cos: float | None = None
    label: str = ""
    flags: tuple[str, ...] = ()
    """Names, see `flag_names`."""
    histogram: ActivationHistogram | None = None
    positions: tuple[int, ...] = ()
    """`hist_pos`: active tokens by floor(log2(position + 1))."""
    top_logits: tuple[TokenValue, ...] = ()
    """Most promoted token first."""
    bottom_logits: tuple[TokenValue, ...] = ()
    """Most suppressed token first."""
    logit_histogram: LogitHistogram | None = None
    top_tokens: tuple[TokenValue, ...] = ()
    """Tokens it fires on; value = share of its active tokens, most frequent first."""
    token_entropy: float | None = None
    """Bits, over the tokens it fires on."""
    neurons: tuple[NeuronRow, ...] = ()
    neuron_word: str = "neurons"
    """"neurons" at mlp_post, "coordinates" elsewhere."""
    neighbours: tuple[NeighbourGroup, ...] = ()
    concept: ConceptView | None = None
    groups: tuple[ExampleGroup, ...] = ()
    origin: str = ""
    """One line: model, hook point, SAE; shown by cards that stand alone."""


@dataclass(frozen=True)
class FeatureRow:
    """One line of the table of all features."""

    id: int
    density: float
    max_act: float
    mass_share: float | None = None
    top_token: str = ""
    """Display of the token it fires on most; "" when unknown or dead."""
    top_logits: tuple[str, ...] = ()
    """Displays of (up to) three most promoted tokens."""
    sparkline: tuple[int, ...] = ()
    """Active tokens per octave of activation, strongest first: `hist_log` summed by fours, see `octaves`."""
    flags: tuple[str, ...] = ()
    label: str = ""


def octaves(hist_log: tuple[int, ...]) -> tuple[int, ...]:
    """`hist_log` (quarter octaves) summed to whole octaves: 64 bins to 16."""
    return tuple(sum(hist_log[i : i + 4]) for i in range(0, len(hist_log), 4))


@dataclass(frozen=True)
class EvalColumn:
    """One metric: its key in `result.json`, how its head reads, and which way is better."""

    key: str
    label: str = ""
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    about: str = ""
    """One sentence: the definition, shown on hover and below the table."""


@dataclass(frozen=True)
class EvalCell:
    """One number of the result table with its 95 % interval; a value of None says why in `reason`."""

    value: float | None
    ci: tuple[float, float] | None = None
    n: int | None = None
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True)
class EvalRow:
    """One dictionary: the SAE or a control. `missing` is the sentence of a row that was not computed."""

    name: str
    cells: Mapping[str, EvalCell] = field(default_factory=dict)
    """By column key; an absent key is shown as a dash."""
    about: str = ""
    missing: str = ""


@dataclass(frozen=True)
class EvalTable:
    """The result table: rows (sae, neurons, pca, untrained, ...) by metrics."""

    columns: tuple[EvalColumn, ...]
    rows: tuple[EvalRow, ...]
    note: str = ""
    """What the intervals are, and which text the numbers are from."""


@dataclass(frozen=True)
class Fact:
    """One fact of the page's head or foot: "Model", "tiny-gpt2"; `detail` in small."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """The static page of one run."""

    title: str
    facts: tuple[Fact, ...]
    """Model, hook point, SAE, text, what was held out, seed; shown in this order."""
    table: EvalTable
    features: tuple[FeatureRow, ...]
    """All features, by id."""
    cards: tuple[FeatureCard, ...] = ()
    cards_note: str = ""
    """How the cards were chosen."""
    warnings: tuple[str, ...] = ()
    provenance: tuple[Fact, ...] = ()
    """Hashes and versions, at the foot."""
    command: str = ""
    """The command that makes this run again."""
    labels: "LabelTable | None" = None
    training: "TrainingCurves | None" = None
    before_after: "BeforeAfterView | None" = None
    """None where the text has too few documents to compare."""
