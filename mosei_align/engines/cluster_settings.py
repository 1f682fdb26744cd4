"""What dask is asked for: processes of this machine, a scheduler that runs already, or SLURM jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from mosei_schemas.errors import ConfigError
from mosei_schemas.manifest import Strict
from mosei_schemas.toml_files import read_toml

Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n]+$")]
Word = Annotated[str, StringConstraints(pattern=r"^[^\s\"'$`;&|<>\\]+$")]
Seconds = Annotated[float, Field(gt=0)]


class SlurmSettings(Strict):
    """The `[slurm]` table: the jobs that `mosei-align build --engine dask --slurm FILE` submits."""

    partition: Word | None = None
    """Where the jobs run (`sbatch -p`); without it, the site's default."""
    account: Word | None = None
    """Who pays (`sbatch -A`)."""
    jobs: Annotated[int, Field(ge=1)] = 1
    """How many jobs are submitted; SLURM places each on one node."""
    cores: Annotated[int, Field(ge=1)]
    """Cores of a job (`--cpus-per-task`); it runs as many worker processes."""
    memory: Annotated[str, StringConstraints(pattern=r"^[1-9]\d*(\.\d+)? ?[KMGT]i?B$")]
    """Memory of a job (`--mem`), such as `16GB`; SLURM holds the job to it, dask sets no limit of its own."""
    walltime: Annotated[str, StringConstraints(pattern=r"^(\d+-)?\d+(:\d\d){0,2}$")] = "00:30:00"
    """How long a job may run (`-t`), as SLURM writes it: `MM`, `HH:MM:SS`, `D-HH:MM:SS`."""
    interface: Word | None = None
    """Network interface (`ib0`, `eth0`) by which the jobs reach this machine, and it them."""
    directives: tuple[Line, ...] = ()
    """Further `#SBATCH` options, such as `--qos=short`."""
    python: Line | None = None
    """The Python that has mosei-align on the nodes; without it, the one that runs now."""
    prologue: tuple[Line, ...] = ()
    """Shell lines before the workers start, such as `module load hdf5`."""
    scratch: Line = "${TMPDIR:-/tmp}"
    """Folder of the node for dask's own temporary files; the job's shell expands it."""
    logs: Path | None = None
    """Folder, seen by the nodes, for what the jobs print; without it that is thrown away."""
    queue_s: Seconds = 600.0
    """How long to wait for the first job to start."""

    @model_validator(mode="after")
    def _options_only(self) -> Self:
        if any(directive.lstrip().startswith("#") for directive in self.directives):
            raise ValueError("directives are options such as --qos=short, without #SBATCH")
        if self.logs is not None and any(character.isspace() for character in str(self.logs)):
            raise ValueError("logs cannot be a path with spaces: SLURM would cut it")
        return self


class DaskSettings(Strict):
    """Where `--engine dask` runs its shards; without `scheduler` and `slurm`, in processes of this machine."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Worker processes on this machine; None for one a core."""
    scheduler: (
        Annotated[str, StringConstraints(pattern=r"^(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:.%]+\]):\d{1,5}$")] | None
    ) = None
    """Address of a dask scheduler that runs already and has workers."""
    slurm: SlurmSettings | None = None
    """SLURM jobs to submit."""
    connect_s: Seconds = 20.0
    """How long to wait for the scheduler, at the start and for every answer."""
    workers_s: Seconds = 20.0
    """How long to go on without any worker before giving up; SLURM's `queue_s` takes its place until the first."""
    worker_deaths: Annotated[int, Field(ge=1)] = 3
    """How many worker processes one shard may cost before the build stops; a running scheduler has its own number."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.workers, self.scheduler, self.slurm)) > 1:
            raise ValueError("workers of this machine, a scheduler and SLURM exclude each other")
        return self

    @property
    def place(self) -> Literal["local", "scheduler", "slurm"]:
        """Which of the three it is."""
        if self.slurm is not None:
            return "slurm"
        return "local" if self.scheduler is None else "scheduler"


def dask_settings(
    *, workers: int | None = None, scheduler: str | None = None, slurm_file: Path | None = None
) -> DaskSettings:
    """The settings from `--workers`, `--scheduler` and `--slurm`, of which one may be given.

    Raises:
        ConfigError: several were given, the address is none, or the file cannot be used.
    """
    given = {"--workers": workers, "--scheduler": scheduler, "--slurm": slurm_file}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} exclude each other", remedy="give one of them")
    if slurm_file is not None:
        return DaskSettings(slurm=load_slurm(slurm_file))
    try:
        return DaskSettings(workers=workers, scheduler=scheduler)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        remedies = {
            "scheduler": "write it as tcp://host:8786, as the scheduler prints it",
            "workers": "give a number from 1 on",
        }
        raise ConfigError(
            f"{error.errors()[0]['input']!r} is not possible", ident=f"--{field}", remedy=remedies[field]
        ) from error


def load_slurm(path: Path) -> SlurmSettings:
    """The `[slurm]` table of a TOML file.

    Raises:
        ConfigError: there is no such table, it has unknown keys or impossible values.
    """
    tables = read_toml(path)
    unknown = ", ".join(repr(name) for name in tables if name != "slurm")
    if unknown or not isinstance(tables.get("slurm"), dict):
        problem = f"unknown table or key {unknown}" if unknown else "there is no table [slurm]"
        raise ConfigError(problem, path=path, remedy="write everything below one line [slurm]")
    try:
        return SlurmSettings.model_validate(tables["slurm"])
    except ValidationError as error:
        problems = [_problem(path, str(".".join(map(str, x["loc"]))), x["type"], x["msg"]) for x in error.errors()]
        raise problems[0] from error


def _problem(path: Path, key: str, kind: str, message: str) -> ConfigError:
    if kind == "extra_forbidden":
        remedy = f"the keys are {', '.join(SlurmSettings.model_fields)}"
        return ConfigError("unknown key", path=path, ident=f"slurm.{key}", remedy=remedy)
    if kind == "missing":
        return ConfigError("is missing", path=path, ident=f"slurm.{key}", remedy="add it")
    example = {"memory": " such as 16GB", "walltime": " such as 00:30:00"}.get(key, "")
    problem = message.removeprefix("Value error, ").rstrip(".")
    return ConfigError(problem, path=path, ident=f"slurm.{key}".rstrip("."), remedy=f"give a value{example}")
