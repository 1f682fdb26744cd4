"""What must hold of every case, whatever its input: an answer or one line, and nothing where it does not belong."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import typer.main

from mosei_align.verify import verify
from mosei_cli import affect, align
from mosei_schemas.dataset import read_manifest

# A command line is made of its functions anew at every call, which takes longer than many a case.
typer.main.get_command = cache(typer.main.get_command)
_MAINS: Final = {"mosei-align": align.main, "affect": affect.main}
_TELLS: Final = frozenset({"validate", "verify", "compare", "report"})
"""Commands that exit with 1 where what they were to look at is bad, and tell it on standard output."""
_KEPT: Final = "--resume"
"""An error that names this option keeps finished shards on purpose."""
_NOTE: Final = re.compile(r"affect: (?!error: )")
_DEPARTS: Final = re.compile(r"affect: the split is made (for|with) ")
"""A run may have another task or other choices than its split, and says so beside its result."""
_LOCK: Final = ".parts/lock"
_PLACE: Final = re.compile(r"--[a-z]|\.(csd|json|toml|csv|txt|gz|parquet|arrow)\b|in/|out/")

Files = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Command:
    """One command of a case.

    Attributes:
        program, arguments: as on the command line, relative to the sandbox.
        outputs: paths in the sandbox that it may make or replace.
        builds: the dataset that it makes, if it does.
    """

    program: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    builds: str | None = None

    def __str__(self) -> str:
        return " ".join((self.program, *self.arguments))


@dataclass
class Outcome:
    """What became of a case: the exit code of its last command, and everything that must not be."""

    code: int = 0
    line: str = ""
    failures: list[str] = field(default_factory=list)


def judge(box: Path, commands: list[Command]) -> Outcome:
    """Run the commands in the sandbox, one after the other up to the first that fails."""
    outcome = Outcome()
    os.chdir(box)
    for command in commands:
        before = _files(box)
        code, out, err, trace = run(command)
        if trace:
            outcome.code = -1
            outcome.failures.append(f"{command}: traceback\n{trace}")
            break
        outcome.code, outcome.line = code, err.strip()
        outcome.failures += [f"{command}: {problem}" for problem in _problems(command, code, out, err)]
        outcome.failures += [f"{command}: {p}" for p in _strays(command, code, err, before, _files(box))]
        if code == 0 and command.builds:
            outcome.failures += [f"{command}: {problem}" for problem in _account(box / command.builds)]
        if code or outcome.failures:
            break
    return outcome


def run(command: Command) -> tuple[int, str, str, str]:
    """Exit code, standard output, standard error, and the traceback where there is one."""
    trace, code = "", 0
    with _streams() as (out, err), warnings.catch_warnings():
        warnings.simplefilter("always")
        sys.argv = [command.program, *command.arguments]
        try:
            _MAINS[command.program]()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            trace = traceback.format_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        return code, out.getvalue().decode("utf-8", "replace"), err.getvalue().decode("utf-8", "replace"), trace


@contextmanager
def _streams() -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Standard output and error as bytes, encoded as strictly as Python does for a terminal."""
    kept = sys.argv, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.BytesIO()
    sys.stdout = io.TextIOWrapper(out, encoding="utf-8", errors="strict")
    sys.stderr = io.TextIOWrapper(err, encoding="utf-8", errors="backslashreplace")
    try:
        yield out, err
    finally:
        sys.argv, sys.stdout, sys.stderr = kept


def _problems(command: Command, code: int, out: str, err: str) -> list[str]:
    # What a run that goes on has to say beside its result.
    beside = _NOTE if "--resume" in command.arguments else _DEPARTS
    err = "".join(line for line in err.splitlines(keepends=True) if not beside.match(line))
    if code == 0:
        return [f"exit code 0, but on standard error: {err}"] if err else []
    if code != 1:
        return [f"exit code {code}: {err}"]
    if not err and command.arguments[0] in _TELLS and out:
        return []
    if err.count("\n") != 1 or not err.startswith(f"{command.program}: error: "):
        return [f"not one line on standard error: {err!r}"]
    return [] if _PLACE.search(err) else [f"names no file: {err}"]


def _files(box: Path) -> Files:
    """What lies in the sandbox: path -> size and time of change, of links and folders too."""
    found: Files = {}
    waiting = [str(box)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                told = entry.stat(follow_symlinks=False)
                folder = entry.is_dir(follow_symlinks=False)
                content = () if folder else (told.st_size, told.st_mtime_ns)
                found[os.path.relpath(entry.path, box)] = (told.st_mode, *content)
                if folder:
                    waiting.append(entry.path)
    return found


def _strays(command: Command, code: int, err: str, before: Files, after: Files) -> list[str]:
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    allowed = command.outputs
    if code and not (command.program == "affect" or command.arguments[0] == "report"):
        allowed = tuple(f"out/.{Path(name).name}.building" for name in command.outputs) if _KEPT in err else ()
    strays = sorted(n for n in changed if not any(n == a or n.startswith(f"{a}/") for a in allowed))
    strays = [name for name in strays if not name.endswith(_LOCK)]
    hidden = sorted(n for n in changed if code == 0 and n in after and n.endswith((".part", ".old", ".building")))
    return [f"changed or left over: {', '.join(found[:5])}" for found in (strays, hidden) if found]


def _account(dataset: Path) -> list[str]:
    """What a fresh dataset's account must be."""
    counts = read_manifest(dataset).counts
    problems = []
    if not counts.labelled == counts.kept + counts.dropped == pq.read_metadata(dataset / "ledger.parquet").num_rows:
        problems.append(f"the account does not add up: {counts}")
    result = verify(dataset)
    return problems + [f"verify: {f.check} {f.file}: {f.problem} {f.ids}" for f in result.findings]
