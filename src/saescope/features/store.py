"""The read side of a feature bundle: point look-ups and small slices; nothing is loaded whole but the vocabulary."""

import operator
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from saescope.draws import draws
from saescope.errors import ConfigError, CorruptArtifact, did_you_mean
from saescope.features import bundle
from saescope.features.concepts import CONCEPTS, Concept, concept_file
from saescope.features.example_files import ExampleFiles
from saescope.features.examples import KINDS
from saescope.features.feature import Feature
from saescope.features.window import Window
from saescope.features.windows import REACH
from saescope.files import Manifest, read_manifest, reading, verified
from saescope.render.numbers import share
from saescope.render.token_row import mark
from saescope.render.view_models import ExampleKind, FeatureRow, flag_names, octaves

TABLES = ("features", "pairs", "tokens_fired", "vocab")


class FeatureStore:
    """The features of one dictionary at one hook point.

        store = FeatureStore.open("runs/demo/features")
        store[17]                         # a Feature; a card in a notebook
        store.windows(17, "top")          # its strongest examples, with their text
        store.table(["density", "max_act"])

    One read-only DuckDB connection that can reach no file but the bundle's; a cursor per query, so threads may share a store.
    """

    def __init__(self, folder: Path, manifest: Manifest, paths: dict[str, Path], concepts: tuple[Manifest, Path] | None = None):
        import duckdb
        from safetensors import SafetensorError

        self.folder, self.manifest, self.provenance = folder, manifest, manifest.provenance
        self.concept_provenance: dict[str, Any] = concepts[0].provenance if concepts else {}
        """The text that best labels come from; empty where the bundle has none."""
        tables = {table: paths[table] for table in TABLES} | ({"concepts": concepts[1]} if concepts else {})
        self._connection = duckdb.connect()
        try:
            for table, path in tables.items():
                name = str(path).replace("'", "''")
                self._connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{name}')")
            with reading(folder, "feature bundle"):
                self._examples = ExampleFiles(paths["examples"], paths["tokens"], int(manifest.state["row_width"]))
                int(manifest.state["n_features"]), int(manifest.state["n_tokens"]), str(self.origin)  # there, and what they should be
        except (duckdb.Error, SafetensorError) as error:
            raise CorruptArtifact(f"a file of the feature bundle in {folder} cannot be read ({error}). Build it again.") from error
        folders = "[" + ", ".join("'" + str(folder).replace("'", "''") + "'" for folder in {path.parent for path in tables.values()}) + "]"
        for setting in (f"allowed_directories={folders}", "autoload_known_extensions=false", "autoinstall_known_extensions=false",
                        "enable_external_access=false", "lock_configuration=true"):  # fmt: skip
            self._connection.execute(f"SET {setting}")

    @classmethod
    def open(cls, folder: Path | str, *, verify: Literal["full", "size"] = "full") -> "FeatureStore":
        """The store of a bundle's folder, after checking every file against the manifest.

        Raises: NotAnArtifact, CorruptArtifact, NewerSchema.
        """
        folder = Path(folder)
        manifest = read_manifest(folder, bundle.SCHEMA, bundle.VERSION)
        names = {kind: manifest.file(f"{kind}-0") for kind in (*TABLES, "examples", "tokens")}
        paths = {kind: verified(folder, manifest, name, verify=verify).resolve() for kind, name in names.items()}
        return cls(folder, manifest, paths, concept_file(folder, manifest.provenance["sae_sha256"], verify=verify))

    def __len__(self) -> int:
        return int(self.manifest.state["n_features"])

    def __getitem__(self, i: int) -> Feature:
        """Feature i. Raises: ConfigError for an id that is not 0..F-1."""
        names = list(bundle.FEATURES)
        (row,) = self.rows("features", ", ".join(names), "feature", self._checked(i))
        return Feature(store=self, **dict(zip(names, row, strict=True)))

    def __iter__(self) -> Iterator[Feature]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"FeatureStore({len(self):,} features, {self.n_tokens:,} tokens; {self.origin})"

    @property
    def n_tokens(self) -> int:
        """Counted tokens the features were described by."""
        return int(self.manifest.state["n_tokens"])

    @property
    def hook_point(self) -> str:
        return self.provenance["hook_point"]

    @property
    def origin(self) -> str:
        """One line: model, hook point, SAE."""
        return f"{self.provenance['model']} · {self.hook_point} · SAE {self.provenance['sae_sha256']}"

    # --- all features -----------------------------------------------------------------------------------------------------------------

    def table(self, columns: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Columns of the feature table as lists, by id; all of them by default. Raises: ConfigError for an unknown one."""
        names = list(columns) if columns is not None else list(bundle.FEATURES)
        for name in names:
            if name not in bundle.FEATURES:
                raise ConfigError(f"{name!r} is no column of the feature table.{did_you_mean(name, bundle.FEATURES)}")
        rows = self._query(f"SELECT {', '.join(names)} FROM features ORDER BY feature")
        return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    def table_rows(self) -> tuple[FeatureRow, ...]:
        """One line per feature for a page's table."""
        columns, labels = self.table(["feature", "density", "max_act", "mass_share", "hist_log", "logit_top", "flags"]), self._labels()
        return tuple(
            FeatureRow(
                id=i,
                density=density,
                max_act=max_act,
                mass_share=mass,
                top_token=self.top_token(i),
                top_logits=tuple(self.display(token) for token in (logits or ())[:3]),
                sparkline=octaves(tuple(hist)),
                flags=flag_names(flags),
                label=labels.get(i, ""),
            )
            for i, density, max_act, mass, hist, logits, flags in zip(*columns.values(), strict=True)
        )

    def alive(self) -> list[int]:
        """Ids of the features that fired at least once, ascending."""
        return [i for i, n in enumerate(self._n_active) if n]

    def sample(self, n: int, *, seed: int = 0) -> list[int]:
        """n alive features drawn by seed; all of them, in that order, where they are fewer."""
        alive = self.alive()
        return [alive[j] for j in draws(seed, "features").permutation(len(alive))[:n]]

    def choose_cards(self, n: int = 200) -> list[int]:
        """Which features to show first: half by share of mass, largest first; half by density, densest first: the other alive
        ones, sorted by density, are cut into equal runs, and the middle of each is taken."""
        columns = self.table(["density", "mass_share"])
        by_mass = sorted(self.alive(), key=lambda i: (-columns["mass_share"][i], i))
        first, others = by_mass[: (n + 1) // 2], by_mass[(n + 1) // 2 :]
        others.sort(key=lambda i: (-columns["density"][i], i))
        runs = min(n - len(first), len(others))
        return first + [others[(2 * j + 1) * len(others) // (2 * runs)] for j in range(runs)]

    # --- one feature ------------------------------------------------------------------------------------------------------------------

    def examples(self, i: int, kind: ExampleKind | None = None) -> dict[str, np.ndarray]:
        """The stored examples of a feature, of one kind or all: columns at, peak, kind, stratum, n_act, copies, and act_at, where
        each one's activations begin in `off` and `act`, which are here whole.

        Raises: ConfigError.
        """
        i = self._checked(i)
        if kind is not None and kind not in KINDS:
            raise ConfigError(f"{kind!r} is no kind of example.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}.")
        return self._examples.of(i, kind)

    def windows(self, i: int, kind: ExampleKind | None = None, context: int = REACH) -> list[Window]:
        """The examples of a feature with their text, best first, `context` tokens each side (at most 32, what is kept)."""
        found = self.examples(i, kind)
        reach = max(0, min(context, REACH))
        return [self._examples.window(found, j, self._max_act[i], reach, *self._vocabulary) for j in range(len(found["at"]))]

    def concept(self, i: int) -> Concept | None:
        """The label that feature i is best at; None where it has none. Raises: ConfigError."""
        i = self._checked(i)
        found = self.rows("concepts", ", ".join(CONCEPTS), "feature", i) if self.concept_provenance else []
        columns = dict(zip(CONCEPTS, found[0], strict=True)) if found else {}
        return Concept(**columns) if columns.get("label") is not None else None

    def top_token(self, i: int) -> str:
        """Display of the token a feature fires on most; "" for one that never fires."""
        token = self._top_token[self._checked(i)]
        return self.display(int(token)) if token >= 0 else ""

    def display(self, token: int) -> str:
        """One vocabulary token for a list, as `Tokenizer.display` writes it."""
        data = self._vocabulary[0][token]
        return mark(data) if data else f"⟨id {token}⟩"

    def rows(self, table: str, columns: str, key: str, value: int) -> list[tuple]:
        """Rows of a table with key = value, in stored order."""
        return self._query(f"SELECT {columns} FROM {table} WHERE {key} = ?", [value])

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple]:
        return self._connection.cursor().execute(sql, values).fetchall()

    def _labels(self) -> dict[int, str]:
        """Best label and its precision of every feature that has one."""
        if not self.concept_provenance:
            return {}
        rows = self._query("SELECT feature, label, precision FROM concepts WHERE label IS NOT NULL")
        return {i: f"{label} ({share(precision)})" for i, label, precision in rows}

    def _checked(self, i: int) -> int:
        try:
            index = operator.index(i)
        except TypeError as error:
            raise ConfigError(f"{i!r} is no feature id. Expected a whole number from 0 to {len(self) - 1}.") from error
        if not 0 <= index < len(self):
            raise ConfigError(f"feature {index} does not exist: this bundle has {len(self):,}. Expected an id from 0 to {len(self) - 1}.")
        return index

    @cached_property
    def _vocabulary(self) -> tuple[list[bytes], np.ndarray]:
        rows = self._query("SELECT bytes, special FROM vocab ORDER BY id")
        return [bytes(data) for data, _ in rows], np.array([special for _, special in rows], bool)

    @cached_property
    def _n_active(self) -> list[int]:
        return self.table(["n_active"])["n_active"]

    @cached_property
    def _max_act(self) -> list[float]:
        return self.table(["max_act"])["max_act"]

    @cached_property
    def _top_token(self) -> np.ndarray:
        columns = self._connection.cursor().execute("SELECT feature, token FROM tokens_fired").fetchnumpy()
        feature, first = np.unique(columns["feature"], return_index=True)
        top = np.full(len(self), -1, np.int64)
        top[feature] = columns["token"][first]
        return top
