"""A folder of `.csd` files, sorted into roles."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mosei_align.sources.apart import index_files
from mosei_align.sources.csd import CsdIndex
from mosei_align.sources.labels import check_number
from mosei_align.sources.modalities import ROLES, Role, SourceSettings
from mosei_schemas.errors import InputError
from mosei_schemas.labels import MOSEI_LABELS
from mosei_schemas.names import MODALITIES

SPEAKERS_FILE: Final = "speakers.csv"


@dataclass(frozen=True, slots=True)
class Corpus:
    """The sequences of a folder by role, and the files that fill no role."""

    folder: Path
    sequences: dict[Role, CsdIndex]
    ignored: tuple[CsdIndex, ...]
    label_columns: tuple[str, ...]

    @property
    def modalities(self) -> dict[Role, CsdIndex]:
        """The feature modalities that are there, in the order text, audio, video."""
        return {role: self.sequences[role] for role in MODALITIES if role in self.sequences}

    @property
    def labels(self) -> CsdIndex:
        """The label sequence."""
        return self.sequences["labels"]


def csd_files(folder: Path) -> list[Path]:
    """The `.csd` files of a folder, sorted by name.

    Raises:
        InputError: there is no such folder, or no `.csd` file in it.
    """
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            path=folder,
            remedy="name the folder with your .csd files (--csd), or make one with 'mosei-align sample'",
        )
    found = sorted(path for path in folder.iterdir() if path.suffix == ".csd" and not path.name.startswith("."))
    if not found:
        raise InputError("no .csd file in this folder", path=folder, remedy="put the sequences there or name another")
    return found


def open_corpus(folder: Path, settings: SourceSettings, at_once: int = 1) -> Corpus:
    """Index every `.csd` file of a folder and give each its role.

    Args:
        folder: the `.csd` files.
        settings: which root fills which role.
        at_once: on how many cores the files are indexed.

    Raises:
        InputError: a file is unreadable, two files hold one root, two sequences fit one role, or there are no labels.
    """
    indexes = index_files(csd_files(folder), at_once)
    check_roots(indexes)
    sequences, ignored = assign_roles(folder, indexes, settings)
    if "labels" not in sequences:
        names = ", ".join(repr(i.declared) for i in indexes)
        raise InputError(
            f"no label sequence among {names}",
            path=folder,
            remedy='add the label file, or name its root in a TOML file: [labels] roots = ["..."]',
        )
    check_number(sequences["labels"])
    columns = label_columns(sequences["labels"], settings.labels.columns)
    return Corpus(folder, sequences, tuple(ignored), columns)


def check_roots(indexes: list[CsdIndex]) -> None:
    """Raise InputError, naming both files, where two files hold a sequence of one name."""
    seen: dict[str, Path] = {}
    for index in indexes:
        for name in {index.root, index.declared}:
            if name in seen:
                raise InputError(
                    f"the root {name!r} is also in {seen[name].name}",
                    path=index.path,
                    remedy="keep only one of the two files in the folder",
                )
        seen |= {index.root: index.path, index.declared: index.path}


def assign_roles(
    folder: Path, indexes: list[CsdIndex], settings: SourceSettings
) -> tuple[dict[Role, CsdIndex], list[CsdIndex]]:
    """Sort indexes into roles; the second list holds those that fit none.

    Raises:
        InputError: two sequences fit one role, or words and vectors are mixed up.
    """
    sequences: dict[Role, CsdIndex] = {}
    for index in indexes:
        for role in ROLES:
            if not settings.matches(role, index.root, index.declared):
                continue
            if role in sequences:
                first, second = sequences[role].declared, index.declared
                raise InputError(
                    f"two sequences can be the {role}: {first!r} and {second!r}",
                    path=folder,
                    remedy=f"choose with --root {role}=NAME or in a TOML file",
                )
            if index.is_text != (role == "words") and index.width is not None:
                kind = "words, not numbers" if index.is_text else "numbers, not words"
                raise InputError(
                    f"cannot be the {role}: its features are {kind}",
                    path=index.path,
                    ident=index.declared,
                    remedy="turn words into vectors with 'mosei-align embed'"
                    if index.is_text
                    else "choose with --root",
                )
            sequences[role] = index
    taken = {index.path for index in sequences.values()}
    return sequences, [index for index in indexes if index.path not in taken]


def label_columns(labels: CsdIndex, configured: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of the label columns: configured, else the metadata's `dimension names`, else the official ones by number.

    The metadata are believed where they name every column once; for seven columns they must be the official seven.

    Raises:
        InputError: the label file has no rows, or the configured names are not as many as its columns.
    """
    width = labels.width
    rows = (e.intervals for found in labels.entries.values() for e in found)
    if width is None or not any(info is not None and info.shape and info.shape[0] for info in rows):
        raise InputError("not one labelled segment", path=labels.path, remedy="give a label file with rows")
    if configured is not None:
        if len(configured) != width or len(set(configured)) != width:
            raise InputError(
                f"{len(configured)} label columns configured, the file has {width}",
                path=labels.path,
                remedy="correct columns = [...] under [labels]",
            )
        return configured
    declared = _dimension_names(labels.metadata.get("dimension names", ""))
    if len(declared) == width == len(set(declared)) and (
        width != len(MOSEI_LABELS) or set(declared) == {*MOSEI_LABELS}
    ):
        return ("sentiment",) if width == 1 and "sentiment" in declared[0] else declared
    if width == len(MOSEI_LABELS):
        return MOSEI_LABELS
    return ("sentiment",) if width == 1 else tuple(f"label_{k}" for k in range(width))


def _dimension_names(text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        return ()
    return tuple(name.strip().casefold() for name in names)


def read_map(path: Path, value: str) -> dict[str, str]:
    """Read a two-column CSV file, video id -> `value` (a speaker, a group); a header line is recognised.

    Raises:
        InputError: the file is missing, a line has not two fields, or a video has two values.
    """
    found: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for number, row in enumerate(csv.reader(stream), 1):
                if not row or (number == 1 and row[0].strip().casefold() in {"video_id", "video", "id"}):
                    continue
                fields = [cell.strip() for cell in row]
                if len(fields) != 2 or not all(fields):
                    raise InputError(
                        f"line {number} is not 'video id,{value}'", path=path, remedy="give two columns a line"
                    )
                if not all(field.isprintable() for field in fields):
                    raise InputError(
                        f"line {number} holds control characters",
                        path=path,
                        remedy=f"save it as text: video id,{value}",
                    )
                if found.setdefault(fields[0], fields[1]) != fields[1]:
                    raise InputError(
                        f"line {number} gives the video a second {value}",
                        path=path,
                        ident=fields[0],
                        remedy="keep one line a video",
                    )
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("not a CSV file in UTF-8", path=path, remedy=f"save it as text: video id,{value}") from error
    return found
