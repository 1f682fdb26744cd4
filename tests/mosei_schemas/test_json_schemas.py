"""The committed JSON Schemas are those of the models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_committed_schemas_are_current() -> None:
    command = [sys.executable, REPOSITORY / "schemas" / "generate_json.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
