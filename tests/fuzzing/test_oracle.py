"""The oracle itself: what must not pass does not pass."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from fuzzing import oracle, worker
from fuzzing.oracle import Command, judge
from fuzzing.targets import TARGETS, Target

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    here, temporary = Path.cwd(), os.environ.get("TMPDIR")
    folder = tmp_path / "box"
    for name in ("in", "out", "tmp"):
        (folder / name).mkdir(parents=True)
    yield folder
    os.chdir(here)
    os.environ.pop("TMPDIR", None)
    if temporary is not None:
        os.environ["TMPDIR"] = temporary


def judged(monkeypatch: pytest.MonkeyPatch, box: Path, work: Callable[[], None]) -> list[str]:
    monkeypatch.setitem(oracle._MAINS, "mosei-align", work)
    return judge(box, [Command("mosei-align", ("build",), outputs=("out",))]).failures


def leave(code: int, line: str = "") -> None:
    sys.stderr.write(line)
    sys.exit(code)


def crash() -> None:
    raise KeyError("v")


SOUND = "mosei-align: error: in/x.csd: unreadable; download it again\n"
DEPARTS = "affect: the split is made for emotion6, this run is on sentiment\n"


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda: leave(0), None),
        (lambda: leave(1, SOUND), None),
        (lambda: leave(0, DEPARTS), None),
        (lambda: leave(1, DEPARTS + SOUND), None),
        (lambda: leave(1, DEPARTS), "not one line"),
        (lambda: leave(0, "RuntimeWarning: overflow\n"), "exit code 0, but on standard error"),
        (lambda: leave(2, SOUND), "exit code 2"),
        (lambda: leave(1), "not one line"),
        (lambda: leave(1, SOUND * 2), "not one line"),
        (lambda: leave(1, "mosei-align: error: bad\n"), "names no file"),
        (lambda: (Path("out/d").mkdir(), leave(1, SOUND)), "changed or left over: out/d"),
        (lambda: (Path("stray").touch(), leave(0)), "changed or left over: stray"),
        (lambda: (Path("tmp/x").touch(), leave(0)), "changed or left over: tmp/x"),
        (lambda: (Path("out/.d.part").mkdir(), leave(0)), "changed or left over: out/.d.part"),
        (crash, "traceback"),
    ],
)
def test_what_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, box: Path, work: Callable[[], None], told: str | None
) -> None:
    failures = judged(monkeypatch, box, work)
    assert bool(failures) == (told is not None)
    assert told is None or told in failures[0]


def test_a_case_that_hangs_or_dies_costs_only_itself(monkeypatch: pytest.MonkeyPatch, box: Path) -> None:
    def prepare(_rng: Random, _seeds: Path, folder: Path) -> list[Command]:
        number = len(list(box.parent.glob("seen*")))
        (box.parent / f"seen{number}").touch()
        if number == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == 2:
            time.sleep(60)
        return []

    monkeypatch.setattr(worker, "LIMIT_S", 0.5)
    monkeypatch.setitem(TARGETS, "odd", Target(0, prepare))
    results = list(worker.run_cases([("odd", k) for k in range(4)], box, box))
    assert [result["failures"] for result in results] == [[], ["died of signal 11"], ["hung"], []]
