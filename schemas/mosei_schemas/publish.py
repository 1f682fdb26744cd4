"""Writing so that a reader sees the old file or the new one, never a half of either."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mosei_schemas.errors import OutputError


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a temporary file beside it, flushed to disk, then renamed.

    Raises:
        OutputError: the file cannot be written.
    """
    with new_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on any error it is removed."""
    temporary = path.with_name(f".{path.name}.{this_process()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory beside `target`; on success it takes `target`'s place, on any error it is removed.

    Whatever stood at `target` before is replaced as a whole; deciding whether it may be is the caller's business.

    Raises:
        OutputError: the directory cannot be written.
    """
    target = target.absolute()
    staging = target.with_name(f".{target.name}.{this_process()}.part")
    retired = target.with_name(f".{target.name}.{this_process()}.old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        yield staging
        for path in sorted(staging.rglob("*")):
            flush(path)
        if target.exists() or target.is_symlink():
            target.replace(retired)
        staging.replace(target)
        flush(target.parent)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        if (retired.exists() or retired.is_symlink()) and not target.exists():
            retired.replace(target)
        _remove(staging)
        _remove(retired)


def this_process() -> str:
    """This process, among all that share a file system."""
    return f"{os.uname().nodename}.{os.getpid()}"


def _remove(path: Path) -> None:
    """Take away a directory with what is in it, a file, or a link (not what it points to)."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def flush(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unwritable(path: Path, error: OSError) -> OutputError:
    """The one-line error for an output that the operating system refuses."""
    remedies = {
        errno.ENOSPC: "free some space or choose another folder",
        errno.EDQUOT: "the quota is used up; choose another folder",
        errno.EROFS: "the file system is read-only; choose another folder",
    }
    reason = error.strerror or type(error).__name__
    return OutputError(
        f"cannot be written ({reason})",
        path=path,
        remedy=remedies.get(error.errno or 0, "choose a folder you may write to"),
    )
