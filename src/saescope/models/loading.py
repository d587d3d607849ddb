"""From a Hub name or a local folder to a model in memory, or to an error that says what to do."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saescope import errors

HUB_TIMEOUT_SECONDS = 5
BUNDLED = "bundled"
"""Name of the model that comes with the package; a folder of that name here comes first, as it does before the Hub's names."""
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp64": "float64"}


@dataclass(frozen=True)
class Loaded:
    hf: Any
    tokenizer: Any
    name: str
    """Folder name or Hub name; never a path."""
    revision: str
    """Commit of the Hub repository, or "local"."""


def load(
    name_or_path: str | Path, *, dtype: str | torch.dtype, device: str | torch.device, revision: str | None, trust_remote_code: bool
) -> Loaded:
    """Model and tokenizer, weights on the device. Safetensors are preferred to other formats.

    Raises: UnknownModel, HubUnreachable, CorruptArtifact, ConfigError (dtype or device).
    """
    precision, place = parse_dtype(dtype), parse_device(device)
    folder = Path(name_or_path).expanduser()
    if name_or_path == BUNDLED and not folder.is_dir():
        folder = Path(__file__).parent / BUNDLED
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if folder.is_dir():
        if revision is not None:
            raise errors.ConfigError(f"revision={revision!r} was given for the local folder {folder}: only Hub names have revisions.")
        name, commit, source = folder.resolve().name, "local", str(folder)
        _refuse_incomplete(folder)
        options["local_files_only"] = True
    else:
        name = source = str(name_or_path)
        _refuse_paths(source, folder)
        commit, options["local_files_only"] = _commit(source, revision)
        options["revision"] = commit
    hf = _from_pretrained(source, name, options, precision)
    tokenizer = _guarded(name, "tokenizer", lambda: _auto("AutoTokenizer").from_pretrained(source, **options))
    return Loaded(hf.to(place), tokenizer, name, commit)


def parse_dtype(dtype: str | torch.dtype) -> str | torch.dtype:
    """ "auto" (as stored) or a torch dtype. Raises: ConfigError."""
    if isinstance(dtype, torch.dtype) or dtype == "auto":
        return dtype
    name = DTYPES.get(dtype, dtype.removeprefix("torch."))
    if name not in DTYPES.values():
        raise errors.ConfigError(f"dtype={dtype!r} is not known. Choose auto, {', '.join(DTYPES.values())}.")
    return getattr(torch, name)


def parse_device(device: str | torch.device) -> torch.device:
    """The device of a name; "auto" is cuda, mps or cpu, whichever there is. Raises: ConfigError."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise errors.ConfigError(f"device={device!r} is not a device. Choose auto, cpu, cuda, cuda:1 or mps.") from error
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if place.type not in here:
        raise errors.ConfigError(f"device={str(device)!r} is not supported. Choose auto, cpu, cuda, cuda:1 or mps.")
    if (place.index or 0) >= here[place.type]:
        raise errors.ConfigError(
            f"device={str(device)!r} is not there: this PyTorch sees {here[place.type]} {place.type}. Choose --device auto or cpu."
        )
    return place


# --- local folders -------------------------------------------------------------------------------------------------------------------


def _refuse_paths(name: str, path: Path) -> None:
    """A file, a path that leads nowhere, or something that is no Hub name."""
    if path.is_file():
        raise errors.UnknownModel(f"{name} is a file. Give the folder of a Hugging Face model (config.json, weights, tokenizer.json).")
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or name.endswith("/")
    if is_path or (path.parent != Path() and path.parent.is_dir()):
        raise errors.UnknownModel(
            f"there is no folder {name}.{_near_folders(path, list_others=True)} Give a model folder, or a Hub name such as gpt2."
        )


def _near_folders(path: Path, *, list_others: bool = False) -> str:
    """ " Did you mean …?" among the folders beside the path, under the longest part of it that exists."""
    parent = next((p for p in path.parents if p.is_dir()), None)
    if parent is None:
        return ""
    names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    hint = errors.did_you_mean(path.relative_to(parent).parts[0], names)
    if hint or not list_others or not names:
        return hint
    return f" Folders in {parent}: {', '.join(names[:8])}."


def _refuse_incomplete(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        inside = [entry.name for entry in sorted(folder.iterdir()) if (entry / "config.json").is_file()]
        hint = f" Folders in it that do: {', '.join(inside[:8])}." if inside else ""
        raise errors.UnknownModel(f"{folder} holds no config.json: it is no Hugging Face model.{hint} Save one with save_pretrained().")


# --- the Hub -------------------------------------------------------------------------------------------------------------------------


def _commit(name: str, revision: str | None) -> tuple[str, bool]:
    """Commit of a Hub model, and whether only the local cache can give it. Raises: UnknownModel, HubUnreachable."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_SECONDS).sha or "main", False
    except GatedRepoError as error:
        raise errors.UnknownModel(f"{name} is gated: accept its terms on https://huggingface.co/{name}, then run: hf auth login") from error
    except HFValidationError as error:
        raise errors.UnknownModel(f"{name!r} is neither a folder nor a Hub name.{_near_folders(Path(name))}") from error
    except RepositoryNotFoundError as error:
        raise errors.UnknownModel(
            f"there is no folder {name!r} and no model of that name on the Hub.{_near_folders(Path(name))} If it is private: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise errors.UnknownModel(f"{name} has no revision {revision!r}. Give a branch, a tag or a commit of it.") from error
    except (HTTPError, OSError) as error:
        if (cached := _cached_commit(name, revision)) is not None:
            return cached, True
        raise errors.HubUnreachable(
            f"{name} is no folder here and not in the local cache, and https://huggingface.co could not be reached ({_first_line(error)})."
            f"{_near_folders(Path(name))} Give the path of a local model folder instead (config.json, model.safetensors, tokenizer.json), "
            "or connect and try again."
        ) from error


def _cached_commit(name: str, revision: str | None) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(path).parent.name if isinstance(path, str) else None


# --- transformers --------------------------------------------------------------------------------------------------------------------


def _from_pretrained(source: str, name: str, options: dict[str, Any], dtype: str | torch.dtype) -> Any:
    with _progress_on_terminals():
        hf, report = _guarded(
            name,
            "model",
            lambda: _auto("AutoModelForCausalLM").from_pretrained(source, dtype=dtype, output_loading_info=True, **options),
        )
    if missing := sorted(report["missing_keys"]):
        raise errors.UnknownModel(
            f"the weights of {name} lack {len(missing)} tensors of {type(hf).__name__}, such as {missing[0]}: they would be random. "
            "Give a folder that save_pretrained() of this very class wrote."
        )
    return hf


@contextmanager
def _progress_on_terminals() -> Iterator[None]:
    """transformers draws a bar while it loads; in a log that is noise."""
    from transformers.utils import logging

    if sys.stderr.isatty() or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _auto(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


def _guarded(name: str, what: str, read: Callable[[], Any]) -> Any:
    """`read()`, the library's complaints about what it was given turned into ours."""
    from safetensors import SafetensorError

    try:
        return read()
    except SafetensorError as error:
        raise errors.CorruptArtifact(f"the weights of {name} cannot be read ({error}). Download or save the model again.") from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        advice = "Give a causal language model that transformers knows."
        if "trust_remote_code" in str(error):
            advice = "Its code is not part of transformers: read it, then pass --trust-remote-code."
        raise errors.UnknownModel(f"the {what} of {name} cannot be loaded: {_first_line(error)}. {advice}") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
