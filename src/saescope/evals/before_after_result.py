"""The outcome of a before and after: texts of the pair, measures, everybody's medians. `result.json` is all of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from saescope import errors
from saescope.config import from_dict, to_dict
from saescope.disk import make_folder, read_json, write_json
from saescope.render.before_after import BeforeAfterView, MeasureRow, TextsColumn
from saescope.render.numbers import percent
from saescope.render.token_row import unmark
from saescope.render.view_models import ExampleView

Kind = Literal["neuron", "feature", "random"]
GIVEN = "given"
"""How a neuron or a feature was chosen that somebody asked for."""
SCHEMA, VERSION, RESULT = "saescope.before-after", 1, "result.json"


@dataclass(frozen=True, kw_only=True)
class ShownText:
    """A text of a column: the tokens around its place, with the column's activation on each."""

    doc: int
    position: int
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    """Bytes as `token_row.mark` writes them."""
    acts: tuple[float, ...]
    peak_at: int
    specials: tuple[int, ...] = ()
    label: str = ""
    """What it is about, where the corpus says."""

    def view(self) -> ExampleView:
        return ExampleView(
            tokens=tuple(unmark(token) for token in self.tokens),
            acts=self.acts,
            peak_at=self.peak_at,
            peak=self.acts[self.peak_at],
            doc=self.doc,
            position=self.position,
            ids=self.ids,
            specials=self.specials,
        )


@dataclass(frozen=True, kw_only=True)
class Column:
    """The neuron, the feature, or chance, and the texts that are shown of it."""

    kind: Kind
    id: int | None
    how: str
    """How it, and they, were chosen."""
    texts: tuple[ShownText, ...]
    modal: str = ""
    """What most of its measured texts are about, where the corpus says and any of them is about something."""
    modal_share: float | None = None

    @property
    def title(self) -> str:
        return "random texts" if self.id is None else f"{self.kind} {self.id}"

    def view(self) -> TextsColumn:
        return TextsColumn(
            title=self.title,
            how=self.how + (f"; {percent(self.modal_share)} of all its texts: {self.modal}" if self.modal else ""),
            examples=tuple(text.view() for text in self.texts),
            labels=tuple(text.label for text in self.texts) if any(text.label for text in self.texts) else (),
            max_act=max((text.acts[text.peak_at] for text in self.texts), default=0.0),
        )


@dataclass(frozen=True)
class Population:
    """All neurons, or all latents, and how many of them could not be measured."""

    n: int
    n_silent: int
    """Positive nowhere in the text."""
    n_few: int
    """Positive, but in fewer documents than are measured."""

    @property
    def n_measured(self) -> int:
        return self.n - self.n_silent - self.n_few


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """A neuron and a feature, the texts where each is strongest, and how much these agree.

    One pair can be picked: so every measure stands beside that of random texts and the medians of all neurons and all latents.
    """

    neuron: Column
    feature: Column
    random: Column
    measures: tuple[MeasureRow, ...]
    neurons: Population
    latents: Population
    n_texts: int
    """Texts measured of each."""
    warnings: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def view(self) -> BeforeAfterView:
        """What the page and the terminal show."""
        return BeforeAfterView(
            columns=(self.neuron.view(), self.feature.view(), self.random.view()),
            measures=self.measures,
            n_texts=self.n_texts,
            n_neurons=self.neurons.n_measured,
            n_latents=self.latents.n_measured,
            notes=(self._note(), *self.warnings),
        )

    def to_json(self) -> dict[str, Any]:
        return {"schema": f"{SCHEMA}/{VERSION}", **to_dict(self)}

    def save(self, folder: Path | str) -> Path:
        """Write `result.json` into a folder; returns its path. Raises: DiskFull, OutputNotWritable."""
        make_folder(Path(folder))
        write_json(Path(folder) / RESULT, self.to_json())
        return Path(folder) / RESULT

    @classmethod
    def load(cls, folder: Path | str) -> "BeforeAfter":
        """Raises: NotAnArtifact, CorruptArtifact, NewerSchema."""
        path = Path(folder) / RESULT
        raw = read_json(path, missing=f"{folder} holds no before and after: it has no {RESULT}. Make one: saescope before-after SAE.")
        name, _, version = str(raw.get("schema", "") if isinstance(raw, dict) else "").partition("/")
        if name != SCHEMA or not version.isdigit():
            raise errors.NotAnArtifact(f"{path} is a {name or 'JSON of another kind'}, but a {SCHEMA} was expected here.")
        if int(version) > VERSION:
            raise errors.NewerSchema(f"{path} is version {version} of {SCHEMA}; this saescope reads up to {VERSION}. Install a newer one.")
        try:
            return from_dict(cls, {key: value for key, value in raw.items() if key != "schema"})
        except errors.ConfigError as error:
            raise errors.CorruptArtifact(f"{path} is not whole ({error}). Make it again: saescope before-after SAE.") from error

    def _note(self) -> str:
        read = self.provenance
        left_out = ", ".join(
            f"{group.n_silent + group.n_few:,} of {group.n:,} {who} ({group.n_silent:,} never positive)"
            for who, group in (("neurons", self.neurons), ("latents", self.latents))
        )
        chosen = "" if self.neuron.how == self.feature.how == GIVEN else "What is not given of the pair was chosen on selection documents. "
        return (
            f"{chosen}{self.n_texts} texts each, one per document, by largest activation on "
            f"{read['n_documents']:,} report documents ({read['n_tokens']:,} tokens); random: {read['config']['random_sets']:,} sets of as "
            f"many random texts. Positive in fewer documents and so not in the medians: {left_out}."
        )
