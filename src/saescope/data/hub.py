"""Text on the Hugging Face Hub, streamed: nothing is downloaded whole and nothing is kept."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saescope.data.readers import check_text_column, encodable, no_column
from saescope.errors import HubUnreachable, NoTokens, UnreadableText, did_you_mean

_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?(:[\w.-]+)?$")
_FILE_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,7}$")
_ANSWER_SECONDS = 10
_TRANSPORTS = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "aiohttp"}
_LOCAL = "Give a local file or folder (txt, jsonl, parquet)"
# datasets waits up to 20 x 5 s to open a file and 20 x 60 s when a server asks for patience; a run that can be resumed need not
_PATIENCE = {
    "STREAMING_OPEN_MAX_RETRIES": 3,
    "STREAMING_OPEN_RETRY_INTERVAL": 2,
    "STREAMING_READ_MAX_RETRIES": 10,
    "STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL": 5,
    "STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL": 10,
}


def is_hub_name(text: str | Path) -> bool:
    """Whether a text that is no path on this machine reads as a Hub data set: `name` or `org/name`, with `:config` where it has several.

    Path objects, names with a file's suffix, and names whose first part is a folder here are paths.
    """
    if isinstance(text, Path) or not _NAME.match(text) or text.startswith("."):
        return False
    below_a_folder = "/" in text and Path(text.split("/")[0]).is_dir()
    return not below_a_folder and not _FILE_SUFFIX.search(text)


class HubTexts:
    """The non-empty documents of a Hub data set in its own order, numbered as they come; every iteration streams from the start.

    `n_empty` counts the empty documents met so far. Raises: HubUnreachable, UnreadableText (no such data set, config, split or
    column), NoTokens if the split has no rows.
    """

    def __init__(self, text: str, *, column: str, split: str, revision: str | None, limit: int | None = None):
        self.name, _, config = text.partition(":")
        self.n_empty = 0
        self.revision = hub_revision(self.name, revision)
        self._column, self._limit = column, limit
        rows = _load(self.name, config or None, split, self.revision)
        _check(rows, text, column, split)
        self._rows = rows.select_columns([column])

    def __iter__(self) -> Iterator[tuple[int, str]]:
        number = n_empty = 0
        for row in _patiently(self._rows, self.name):
            text = row[self._column] or ""
            if not text.strip():
                n_empty += 1
                self.n_empty = max(self.n_empty, n_empty)
                continue
            yield number, encodable(text, f"{self.name}, document {number}")
            number += 1
            if number == self._limit:
                return


def hub_revision(name: str, revision: str | None) -> str:
    """The commit that a data set's revision (default: its main branch) means now.

    One question with a time limit, asked first: the data set library itself would try for half a minute before it gives up.
    Raises: HubUnreachable, UnreadableText if there is no such data set.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().dataset_info(name, revision=revision, timeout=_ANSWER_SECONDS).sha or "main"
    except GatedRepoError as error:
        raise UnreadableText(f"the data set {name!r} is gated. Ask for access on its page, then log in: hf auth login.") from error
    except RevisionNotFoundError as error:
        raise UnreadableText(
            f"the data set {name!r} has no revision {revision!r}. Give a branch, tag or commit of it, or leave it out."
        ) from error
    except RepositoryNotFoundError as error:
        raise UnreadableText(
            f"{name!r} is neither a path here nor a data set on the Hub. {_LOCAL} or the data set's full name, org/name."
        ) from error
    except HFValidationError as error:
        raise UnreadableText(
            f"{name!r} is neither a path here nor the name of a data set. {_LOCAL}, or a Hub name such as org/name."
        ) from error
    except Exception as error:
        if not _is_connection(error):
            raise
        raise unreachable(name, error) from error


def unreachable(name: str, error: Exception, so_far: int = 0) -> HubUnreachable:
    near = did_you_mean(name, (entry.name for entry in Path().iterdir()))
    after = f" after {so_far:,} documents" if so_far else ""
    why = (str(error).splitlines() or [""])[0] or type(error).__name__
    return HubUnreachable(
        f"the data set {name!r} is no path here, and huggingface.co could not be reached for it{after} ({why}).{near} "
        f"{_LOCAL}, such as --text path/to/folder, or try again with a connection."
    )


def _is_connection(error: Exception) -> bool:
    """Whether a connection failed. The hub library's transport differs by version, and its exceptions are not OSErrors."""
    return isinstance(error, OSError | EOFError) or type(error).__module__.split(".")[0] in _TRANSPORTS


def _load(name: str, config: str | None, split: str, revision: str) -> Any:
    import datasets

    for setting, value in _PATIENCE.items():
        if hasattr(datasets.config, setting):
            setattr(datasets.config, setting, min(value, getattr(datasets.config, setting)))
    try:
        return datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UnreadableText(f"{name!r} is neither a path here nor a data set on the Hub. {_LOCAL}.") from error
    except (ValueError, RuntimeError) as error:  # an unknown config or split, no data files, a data set that needs its own script
        why = " ".join(str(error).split())[:400].rstrip(".")
        raise UnreadableText(
            f"the data set {name!r} could not be opened with split {split!r}: {why}. A config is given as {name}:CONFIG."
        ) from error
    except OSError as error:
        raise unreachable(name, error) from error


def _check(rows: Any, name: str, column: str, split: str) -> None:
    """Look at the schema and the first row now, rather than when training starts."""
    if rows.features:
        types = {key: getattr(feature, "pa_type", feature) for key, feature in rows.features.items()}
        check_text_column(f"the data set {name!r}", column, types)
    first = next(_patiently(rows, name), None)
    if first is None:
        raise NoTokens(f"the data set {name!r} has no rows in split {split!r}. Choose another split, or give a local file or folder.")
    if column not in first:
        raise no_column(f"the data set {name!r}", column, list(first))
    if not isinstance(first[column], str | None):
        kind = type(first[column]).__name__
        raise UnreadableText(
            f"column {column!r} of the data set {name!r} holds {kind}, but text was expected. Choose another with --column."
        )


def _patiently(rows: Any, name: str) -> Iterator[dict[str, Any]]:
    """The rows; a connection that is lost for good becomes HubUnreachable. The stream is closed with the iteration."""
    n = 0
    try:
        for row in rows:
            yield row
            n += 1
    except Exception as error:
        if not _is_connection(error):
            raise
        raise unreachable(name, error, n) from error
