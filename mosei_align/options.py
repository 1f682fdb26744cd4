"""Options as people type them, turned into validated values."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mosei_schemas.errors import ConfigError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.splits import Protocol


def build_settings(*, policy: str = "strict", min_coverage: str = "1", nonfinite: str = "frame") -> BuildSettings:
    """The settings of a build.

    Raises:
        ConfigError: an option has an impossible value; the message lists the possible ones.
    """
    options = {"policy": policy, "nonfinite": nonfinite, **parse_coverage(min_coverage)}
    try:
        return BuildSettings.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise ConfigError(
            f"{first['input']!r} is not possible", ident=f"--{name}", remedy=first["msg"].lower()
        ) from error


def parse_coverage(text: str) -> dict[str, float]:
    """`--min-coverage` as settings: a number of steps ("3") or a share of the segment's steps ("50%", "0.5").

    Raises:
        ConfigError: neither.
    """
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
        elif "." in text:
            share = float(text)
        else:
            steps = int(text)
            if steps >= 1:
                return {"min_coverage_steps": steps}
            share = -1.0
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise ConfigError(
            f"{text!r} is not possible",
            ident="--min-coverage",
            remedy="give a number of steps such as 3, or a share of the steps such as 50%",
        )
    return {"min_coverage_share": share}


def split_protocol(
    *, speaker_disjoint: bool, stratified: bool, random: bool, folds: Path | None, groups: Path | None
) -> Protocol:
    """The one protocol that was asked for.

    Raises:
        ConfigError: none was, or several, or `--groups` goes with a protocol that has no groups.
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
    if groups is not None and asked[0] != "speaker-disjoint":
        raise ConfigError(f"--groups means nothing to --{asked[0]}", remedy="use it with --speaker-disjoint")
    return asked[0]
