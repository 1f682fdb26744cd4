"""Finding and opening the files of a dataset directory. Both libraries start here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from mosei_schemas.errors import DatasetError
from mosei_schemas.manifest import Manifest
from mosei_schemas.splits import Normalization, SplitInfo
from mosei_schemas.version import FORMAT_NAME, FORMAT_VERSION

MANIFEST = "manifest.json"
LEDGER = "ledger.parquet"
SEGMENTS = "segments"
SPLITS = "splits"
ASSIGNMENT = "assignment.parquet"
NORMALIZATION = "normalization.json"
SPLIT_INFO = "split.json"

Model = TypeVar("Model", bound=BaseModel)


def is_dataset(path: Path) -> bool:
    """Whether `path` looks like a dataset directory of ours (of any version)."""
    try:
        with (path / MANIFEST).open("rb") as stream:
            return FORMAT_NAME.encode() in stream.read(4096)
    except OSError:
        return False


def read_manifest(dataset: Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        DatasetError: the folder or its manifest is missing, damaged, or of a newer format version.
    """
    if not dataset.is_dir():
        raise DatasetError("no such dataset folder", path=dataset, remedy="make one with 'mosei-align build'")
    path = dataset / MANIFEST
    if not path.is_file():
        raise DatasetError(
            f"not a dataset: it has no {MANIFEST}", path=dataset, remedy="make one with 'mosei-align build'"
        )
    raw = _read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT_NAME:
        raise DatasetError(f"not the manifest of a {FORMAT_NAME}", path=path, remedy="build the dataset again")
    version = raw.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        raise DatasetError(
            f"dataset format version {version!r}, this program reads version {FORMAT_VERSION}",
            path=path,
            remedy="upgrade mosei-align" if newer else "build the dataset again",
        )
    return _validate(Manifest, raw, path, "build the dataset again")


def split_names(dataset: Path) -> list[str]:
    """Names of the complete splits of a dataset, sorted."""
    return sorted(
        p.parent.name for p in (dataset / SPLITS).glob(f"*/{SPLIT_INFO}") if not p.parent.name.startswith(".")
    )


def split_path(dataset: Path, name: str | None) -> Path:
    """The folder of the split `name`, or of the dataset's only split where `name` is None.

    Raises:
        DatasetError: there is no such split, or `name` is None and there is not exactly one.
    """
    names = split_names(dataset)
    if not names:
        raise DatasetError("has no split yet", path=dataset, remedy=f"run 'mosei-align split {dataset}' first")
    if name is None:
        if len(names) > 1:
            raise DatasetError(
                f"has {len(names)} splits", path=dataset, remedy=f"choose one with --split: {', '.join(names)}"
            )
        name = names[0]
    if name not in names:
        raise DatasetError("no such split", path=dataset, ident=name, remedy=f"choose one of: {', '.join(names)}")
    return dataset / SPLITS / name


def read_split_info(split: Path) -> SplitInfo:
    """Read `split.json`; raises DatasetError where it is damaged."""
    return _read_model(SplitInfo, split / SPLIT_INFO)


def read_normalization(split: Path) -> Normalization:
    """Read `normalization.json`; raises DatasetError where it is damaged."""
    return _read_model(Normalization, split / NORMALIZATION)


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Turn whatever Arrow raises while a Parquet file of a dataset is read into a DatasetError that names it."""
    try:
        yield
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DatasetError("missing or damaged", path=path, remedy=remedy) from error


def to_json(model: BaseModel) -> bytes:
    """The canonical bytes of a model: keys in declared order, two spaces, one newline at the end."""
    return (model.model_dump_json(indent=2) + "\n").encode()


def _read_model(model: type[Model], path: Path) -> Model:
    return _validate(model, _read_json(path), path, "split the dataset again")


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", path=path) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError("not valid JSON", path=path, remedy="the file is damaged; make it again") from error


def _validate(model: type[Model], raw: object, path: Path, remedy: str) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(first["msg"], path=path, ident=where or None, remedy=remedy) from error
