"""The options of `mosei-align split` as people type them, turned into validated values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

from pydantic import ValidationError

from mosei_schemas.dataset import read_manifest
from mosei_schemas.errors import ConfigError
from mosei_schemas.labels import find_task
from mosei_schemas.splits import Method, NormalisePer, Protocol, TaskView, default_view


def split_protocol(
    *,
    speaker_disjoint: bool,
    stratified: bool,
    random: bool,
    folds: Path | None,
    groups: Path | None,
    by_speaker: bool = False,
) -> Protocol:
    """The one protocol that was asked for.

    Raises:
        ConfigError: none was, or several, or `--groups` goes with a protocol that has no groups, and the normalisation
            has none either.
    """
    asked: list[Protocol] = []
    if speaker_disjoint:
        asked.append("speaker-disjoint")
    if stratified:
        asked.append("stratified")
    if random:
        asked.append("random")
    if folds is not None:
        asked.append("folds")
    if len(asked) != 1:
        raise ConfigError(
            "several protocols were asked for" if asked else "no protocol was asked for",
            remedy="give one of --speaker-disjoint, --stratified, --random, --folds FILE",
        )
    if groups is not None and asked[0] != "speaker-disjoint" and not by_speaker:
        raise ConfigError(
            f"--groups means nothing to --{asked[0]}",
            remedy="use it with --speaker-disjoint or --normalise-per speaker",
        )
    return asked[0]


def split_view(dataset: Path, task: str | None, **policy: object) -> TaskView | None:
    """The task that a split is made for, and its choices; None where the labels serve no task and none was named.

    Args:
        dataset: the dataset directory.
        task: None for the default one.
        policy: the other fields of `TaskView`.

    Raises:
        ConfigError: there is no such task or choice.
        DatasetError: the dataset is missing or damaged.
    """
    default = default_view(read_manifest(dataset).label_columns)
    name = find_task(task).name if task is not None else None if default is None else default.task
    if name is None:
        return None
    try:
        return TaskView.model_validate({"task": name, **policy})
    except ValidationError as error:
        first = error.errors()[0]
        flag = f"--{first['loc'][0]}".replace("_", "-")
        raise ConfigError(f"{first['input']!r} is not possible", ident=flag, remedy=f"give {_either(first)}") from error


def split_method(normalise: str, per: str) -> tuple[Method, NormalisePer]:
    """How features are scaled; raises ConfigError where there is no such way."""
    if normalise not in get_args(Method):
        raise ConfigError(
            f"{normalise!r} is not possible", ident="--normalise", remedy=f"give {' or '.join(get_args(Method))}"
        )
    if per not in get_args(NormalisePer):
        raise ConfigError(f"{per!r} is not possible", ident="--normalise-per", remedy="give split or speaker")
    return cast(Method, normalise), cast(NormalisePer, per)


def _either(problem: Any) -> str:
    """What pydantic expected instead, e.g. `drop or first`."""
    return str(problem.get("ctx", {}).get("expected", "another value")).replace("'", "")
