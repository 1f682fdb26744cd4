"""mmsdk's objects as a folder of `.csd` files. mmsdk itself is never imported: what looks like its objects is taken."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mosei_align.compat_mmsdk.sequences import Array
from mosei_align.sources.csd_writer import CsdWriter
from mosei_schemas.errors import InputError, OutputError

_REMEDY = "give an mmsdk mmdataset, a computational_sequence, or a list or dict of those"


@contextmanager
def as_folder(dataset: object) -> Iterator[Path]:
    """Write mmsdk's objects into a temporary folder, one `.csd` file a sequence; the folder goes when the block ends.

    One entry at a time is in memory. What a sequence is called in the dataset becomes the root of its file, and its
    metadata are kept, so both names can tell its role. An array that an entry lacks is not written, for the build to
    report.

    Args:
        dataset: an `mmdataset` (`.computational_sequences`), a `computational_sequence` (`.data`, `.metadata`), or a
            list or a mapping of the latter.

    Yields:
        The folder.

    Raises:
        InputError: it is no such object, a sequence has no name, or an array cannot be written to a file.
        OutputError: the disk refuses.
    """
    sequences = _sequences(dataset)
    with tempfile.TemporaryDirectory(prefix="mosei-align-") as folder:
        for number, (name, sequence) in enumerate(sequences.items()):
            safe = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[:80]
            _write(Path(folder) / f"{number:02d}_{safe}.csd", name, sequence)
        yield Path(folder)


def _sequences(dataset: object) -> dict[str, object]:
    held = getattr(dataset, "computational_sequences", dataset)
    if isinstance(held, Mapping):
        found = {str(name): sequence for name, sequence in held.items()}
    else:
        listed = list(held) if isinstance(held, (list, tuple)) else [held]
        found = {}
        for sequence in listed:
            name = _name(sequence)
            if name in found:
                raise InputError("two sequences have this name", ident=name, remedy="give them in a dict, by name")
            found[name] = sequence
    for name, sequence in found.items():
        if not isinstance(getattr(sequence, "data", None), Mapping):
            raise InputError(f"no sequence of mmsdk, but of type {type(sequence).__name__}", ident=name, remedy=_REMEDY)
        if not name or "/" in name:
            raise InputError(
                "a sequence's name must not be empty or have a slash", ident=repr(name), remedy="rename it"
            )
    if not found:
        raise InputError("the dataset has no sequence", remedy=_REMEDY)
    return found


def _name(sequence: object) -> str:
    named = _metadata(sequence).get("root name")
    for name in (named, getattr(sequence, "root_name", None), getattr(sequence, "rootName", None)):
        if isinstance(name, str) and name:
            return name
    raise InputError(f"no sequence of mmsdk, but of type {type(sequence).__name__}", remedy=_REMEDY)


def _metadata(sequence: object) -> dict[str, object]:
    found = getattr(sequence, "metadata", None)
    if not isinstance(found, Mapping):
        return {}
    return {
        str(key): _jsonable(value) for key, value in found.items() if "/" not in str(key) and str(key) not in {"", "."}
    }


def _jsonable(value: object) -> object:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)
    return value


def _write(path: Path, name: str, sequence: object) -> None:
    data: Mapping[object, object] = getattr(sequence, "data")  # noqa: B009 (duck-typed)
    with CsdWriter(path, name, metadata=_metadata(sequence)) as writer:
        for key, entry in data.items():
            try:
                writer.add(str(key), _array(entry, "features"), _array(entry, "intervals"))
            except OutputError as error:
                if isinstance(error.__cause__, OSError):
                    raise
                raise InputError(f"{name}: {error.problem}", ident=str(key), remedy=error.remedy) from error
            except (TypeError, ValueError, RuntimeError, KeyError, OSError) as error:
                raise InputError(
                    f"{name}: its arrays cannot be written ({error})",
                    ident=str(key),
                    remedy="entries hold 'features' (n, d) and 'intervals' (n, 2), of a file that is still open",
                ) from error


def _array(entry: Any, name: str) -> Array | None:
    if name not in entry:
        return None
    values = np.asarray(entry[name])
    if values.dtype.kind == "O":
        return _fixed_width(values)
    return values


def _fixed_width(values: Array) -> Array:
    """Strings kept as objects -> fixed-width bytes."""
    items = values.ravel().tolist()
    if not all(isinstance(item, (str, bytes)) for item in items):
        raise TypeError("neither numbers nor strings")
    texts = [item if isinstance(item, bytes) else item.encode() for item in items]
    return np.array(texts, np.bytes_ if any(texts) else "S1").reshape(values.shape)
