"""The options of `mosei-align build` as people type them, turned into validated values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from mosei_align.engines.local import Engine
from mosei_align.sources.labels import LONGEST_S
from mosei_schemas.errors import ConfigError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES

PAPER_ROWS: Final = 50
NARROWEST_BIN_S: Final = 0.001
_FLAGS: Final = {"file_format": "format", "videos_per_shard": "videos-per-shard"}
_POLICY_DEFAULTS: Final[dict[str, dict[str, object]]] = {
    "mmsdk": {"nonfinite": "keep"},
    "paper": {"nonfinite": "zero", "steps": "rows", "first_rows": PAPER_ROWS},
}


def build_settings(
    *,
    policy: str = "strict",
    min_coverage: str | None = None,
    nonfinite: str | None = None,
    steps: str | None = None,
    file_format: str = "parquet",
    videos_per_shard: int | None = None,
) -> BuildSettings:
    """The settings of a build; None stands for the policy's own default.

    Raises:
        ConfigError: an option has an impossible value, or one that means nothing to the policy.
    """
    given = {"--min-coverage": min_coverage, "--nonfinite": nonfinite, "--steps": steps}
    fixed = {"mmsdk": given, "paper": {"--min-coverage": min_coverage, "--steps": steps}}.get(policy, {})
    for flag, value in fixed.items():
        if value is not None:
            raise ConfigError(
                f"means nothing to policy {policy}",
                ident=flag,
                remedy=f"that policy has a rule of its own; omit {flag}",
            )
    options: dict[str, object] = {"policy": policy, "file_format": file_format}
    options |= parse_coverage("1" if min_coverage is None else min_coverage)
    options |= {} if steps is None else parse_steps(steps)
    options |= _POLICY_DEFAULTS.get(policy, {})
    options |= {} if nonfinite is None else {"nonfinite": nonfinite}
    options |= {} if videos_per_shard is None else {"videos_per_shard": videos_per_shard}
    try:
        return BuildSettings.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "policy"
        wrong = f"{options.get(name)!r} is not possible"
        raise ConfigError(
            wrong, ident=f"--{_FLAGS.get(name, name)}", remedy=first["msg"].removeprefix("Value error, ").lower()
        ) from error


def parse_steps(text: str) -> dict[str, object]:
    """`--steps` as settings: `words`, `uniform:SECONDS` or `frames:MODALITY`.

    Raises:
        ConfigError: none of them.
    """
    kind, colon, value = text.partition(":")
    if text == "words":
        return {"steps": "words"}
    if kind == "frames" and value in MODALITIES:
        return {"steps": "frames", "frames_of": value}
    if kind == "uniform" and colon:
        with suppress(ValueError):
            width = float(value)
            if NARROWEST_BIN_S <= width <= LONGEST_S:
                return {"steps": "uniform", "uniform_bin_s": width}
    raise ConfigError(
        f"{text!r} is not possible",
        ident="--steps",
        remedy=f"give words, uniform:SECONDS (at least {NARROWEST_BIN_S}) or frames:MODALITY ({', '.join(MODALITIES)})",
    )


def parse_part(text: str) -> tuple[int, int]:
    """`--shard I/N` as two numbers.

    Raises:
        ConfigError: it is not that, or not 1 <= I <= N.
    """
    first, slash, last = text.partition("/")
    if slash and all(number.isascii() and number.isdigit() and len(number) < 10 for number in (first, last)):
        number, parts = int(first), int(last)
        if 1 <= number <= parts:
            return number, parts
    raise ConfigError(
        f"{text!r} is not I/N with 1 <= I <= N",
        ident="--shard",
        remedy="e.g. --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT with --array=1-8",
    )


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


def refuse_with_shard(*, engine: str, overwrite: bool) -> None:
    """Raise ConfigError where `--shard` comes with what it cannot do."""
    if engine != "local":
        raise ConfigError("a run with --shard works alone", ident="--engine", remedy="give one of the two")
    if overwrite:
        raise ConfigError(
            "a run with --shard replaces nothing", ident="--overwrite", remedy="give it to 'mosei-align merge'"
        )


def choose_engine(
    name: str, *, jobs: int | None, scheduler: str | None, slurm: Path | None, shared: Sequence[Path]
) -> Engine | None:
    """The engine of `--engine`; None for processes of this machine.

    Args:
        name: `local` or `dask`.
        jobs: workers of a dask cluster on this machine.
        scheduler, slurm: see `cluster_settings.dask_settings`.
        shared: folders that every worker must see.

    Raises:
        ConfigError: there is no such engine, its options contradict each other, or dask is not installed.
    """
    if name not in ("local", "dask"):
        raise ConfigError(f"{name!r} is not possible", ident="--engine", remedy="give local or dask")
    if name == "local":
        for flag, value in (("--scheduler", scheduler), ("--slurm", slurm)):
            if value is not None:
                raise ConfigError("means nothing to the local engine", ident=flag, remedy="add --engine dask")
        return None
    from mosei_align.engines.cluster import cluster_engine
    from mosei_align.engines.cluster_settings import dask_settings

    settings = dask_settings(workers=jobs, scheduler=scheduler, slurm_file=slurm)
    return cluster_engine(settings, [path.absolute() for path in shared])
