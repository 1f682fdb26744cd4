"""`make demo`: the whole way on a synthetic corpus, with the commands a user would type, and what came of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.panel import Panel

from mosei_cli.console import out

VIDEOS: Final = 150
EPOCHS: Final = 16


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the demo.

    Attributes:
        why: what it is for, for a newcomer.
        command: as typed in a shell.
        may_fail: whether exit code 1 is expected (the corpus has planted errors).
    """

    why: str
    command: str
    may_fail: bool = False


def steps(videos: int, epochs: int) -> list[Step]:
    """The commands, to be run in the demo's folder."""
    return [
        Step(
            "write a synthetic corpus with the defects of the real one",
            f"mosei-align sample csd --videos {videos} --seed 7",
        ),
        Step(
            "look for problems (it finds the planted ones, so exit code 1 is right)",
            "mosei-align validate csd",
            may_fail=True,
        ),
        Step(
            "align, keeping only segments with text, audio and video",
            "mosei-align build --csd csd --out strict --policy strict",
        ),
        Step(
            "align, keeping whatever was observed and masking the rest",
            "mosei-align build --csd csd --out masked --policy masked",
        ),
        Step("split so that no speaker is in two parts", "mosei-align split masked --speaker-disjoint"),
        Step(
            "train Affect-Diff for a short while",
            f"affect train --data masked --epochs {epochs} --out run --set train.batch_size=32 --set train.buckets=4 "
            "--set loss.class_weights=sqrt",
        ),
    ]


def run(folder: Path, videos: int = VIDEOS, epochs: int = EPOCHS) -> None:
    """Run the demo in `folder`, which is made anew, and end with a summary."""
    began = time.monotonic()
    if folder.exists():
        if not (folder / ".mosei-align-demo").is_file():
            sys.exit(f"demo: {folder} exists and is not a demo of ours; take it away first")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / ".mosei-align-demo").touch()
    programs = Path(sys.executable).parent
    for number, step in enumerate(todo := steps(videos, epochs), 1):
        out.print(f"\n[bold cyan]{number}/{len(todo)}[/]  {step.why}\n[bold]$ {step.command}[/]")
        path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(shlex.split(step.command), cwd=folder, env={**os.environ, "PATH": path}, check=False)
        if done.returncode and not (step.may_fail and done.returncode == 1):
            sys.exit(done.returncode)
    summarise(folder, time.monotonic() - began)


def summarise(folder: Path, seconds: float) -> None:
    """Say what happened, in words that a newcomer understands."""
    strict, masked = (_json(folder / name / "manifest.json")["counts"] for name in ("strict", "masked"))
    agree = {name: _agreement(folder, name) for name in ("strict", "masked")}
    metrics = _json(folder / "run" / "metrics.json")
    test = {name: metrics["test"][name]["metrics"]["balanced_accuracy"] for name in ("model", "linear", "majority")}
    lines = [
        f"The corpus has {strict['labelled']} labelled segments. Every one of them is accounted for:",
        f"  strict  {strict['kept']:4d} kept + {strict['dropped']:4d} dropped = {strict['labelled']}",
        f"  masked  {masked['kept']:4d} kept + {masked['dropped']:4d} dropped = {masked['labelled']}",
        f"The reasons agree with what was planted in {agree['strict']} (strict) and {agree['masked']} (masked) rows.",
        "",
        f"Affect-Diff was chosen on valid (epoch {metrics['selection']['epoch']}) and then saw the test part once: "
        f"{metrics['test']['segments']} segments of {metrics['test']['groups']} speakers it had never met.",
        "Balanced accuracy over the emotions in it, with 95 % intervals over speakers:",
        *(f"  {name:<22} {_interval(test[key])}" for name, key in _ROWS),
        "A short training on few speakers: the intervals are wide, and that is the honest picture.",
        "",
        "Look further:",
        f"  {folder}/masked/ledger.parquet   why each segment was kept or dropped",
        f"  {folder}/run/metrics.json        every number",
        "Your own files: mosei-align build --csd YOUR_FOLDER --policy strict",
        f"({seconds:.0f} s in all)",
    ]
    out.print()
    out.print(Panel("\n".join(lines), title="What you have just seen", title_align="left"), soft_wrap=False)


_ROWS: Final = (("Affect-Diff", "model"), ("linear on mean + max", "linear"), ("always the majority", "majority"))


def _interval(metric: dict[str, Any]) -> str:
    if metric["low"] is None:
        return f"{metric['value']:.3f}"
    return f"{metric['value']:.3f}   ({metric['low']:.3f} - {metric['high']:.3f})"


def _agreement(folder: Path, policy: str) -> str:
    """How many ledger rows say what truth.json says, e.g. `745 of 745`."""
    import pyarrow.parquet as pq

    truth = {row["segment_id"]: row[policy] for row in _json(folder / "csd" / "truth.json")["segments"]}
    ledger = pq.read_table(folder / policy / "ledger.parquet", columns=["segment_id", "reason"]).to_pylist()
    same = Counter(truth.get(row["segment_id"], "?") == row["reason"] for row in ledger)
    return f"{same[True]} of {len(truth)}"


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
