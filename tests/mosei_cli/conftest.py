"""Running the two programs as a user does: in a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def cli(tmp_path: Path) -> Run:
    """`cli("mosei-align", "build", ..., cwd=...)`; output is captured as text, 100 columns wide."""

    def run(
        program: str, *arguments: object, cwd: Path | None = None, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error", **extra}
        command = [str(PROGRAMS / program), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd or tmp_path, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def fails(cli: Run) -> Callable[..., str]:
    """Run a command that must fail as bad input does: one line on standard error, exit code 1; return the line."""

    def run(program: str, *arguments: object, cwd: Path | None = None) -> str:
        done = cli(program, *arguments, cwd=cwd)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.startswith(f"{program}: error: ")
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stderr

    return run
