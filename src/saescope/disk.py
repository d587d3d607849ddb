"""One file or folder on disk: replaced whole, with the system's errors as ours, and sites where tests let it fail."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saescope import errors

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENAMETOOLONG}
_fault_hits: dict[str, int] = {}


def write_json(path: Path | str, value: Any, *, site: str = "db.commit") -> None:
    """Replace a JSON file whole."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", site=site)


def write_text(path: Path | str, text: str, *, site: str = "db.commit") -> None:
    """Replace a text file whole: temporary file, sync, rename, sync of the folder."""
    path = Path(path)
    temporary = path.with_name(f"tmp-{os.getpid()}-{path.name}")
    with writing(temporary):
        temporary.write_text(text, encoding="utf-8")
        sync(temporary)
        fault_site(site)
        os.replace(temporary, path)
        sync(path.parent)


def read_json(path: Path | str, *, missing: str) -> Any:
    """Parsed JSON. Raises: NotAnArtifact with `missing` if there is no file, CorruptArtifact if it is not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.NotAnArtifact(missing) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise errors.CorruptArtifact(f"{path} is not valid JSON ({error}). Make this artifact again.") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's write errors on `path` into DiskFull and OutputNotWritable, and removes what was half written."""
    try:
        yield
    except BaseException as error:
        size = path.stat().st_size if path.is_file() else 0
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise os_error(error, path, size) from error
        if "No space left" in str(error) or "os error 28" in str(error):
            raise errors.DiskFull(f"no space left while writing {path}. Free some space, or choose another folder with --out.") from error
        raise


def os_error(error: OSError, path: Path, size: int = 0) -> errors.SaescopeError | OSError:
    """The typed error of a failed write; other system errors come back unchanged."""
    if error.errno in _FULL_DISK:
        written = f" after {size:,} bytes" if size else ""
        return errors.DiskFull(f"no space left{written} while writing {path}. Nothing was lost: free some, or choose another --out.")
    if error.errno in _READ_ONLY:
        return errors.OutputNotWritable(f"{path.parent} cannot be written ({error.strerror}). Choose another folder with --out.")
    return error


def make_folder(folder: Path) -> None:
    """Create a folder. Raises: OutputNotWritable if it cannot be made or is a file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise errors.OutputNotWritable(f"{folder} cannot be made: a file is in the way. Choose another folder with --out.") from error
    except OSError as error:
        raise os_error(error, folder / "x") from error


def sweep_abandoned(folder: Path) -> None:
    """Remove temporary files whose process is gone."""
    for path in folder.glob("tmp-*"):
        match = re.match(r"tmp-(\d+)-", path.name)
        if match and not alive(int(match[1])):
            path.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault_site(name: str) -> None:
    """Nothing, unless $SAESCOPE_FAULT="<site>:<n>:<kill|enospc|ioerror>" names this site: then the n-th hit fails that way."""
    wanted = os.environ.get("SAESCOPE_FAULT")
    if not wanted:
        return
    site, n, how = wanted.rsplit(":", 2)
    if site != name:
        return
    _fault_hits[name] = _fault_hits.get(name, 0) + 1
    if _fault_hits[name] != int(n):
        return
    if how == "kill":
        os._exit(137)
    raise OSError(errno.ENOSPC if how == "enospc" else errno.EIO, f"fault injected at {name}")


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
