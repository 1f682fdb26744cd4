"""The real program, with its workers, killed at random moments; a long run has `MOSEI_KILLS=200`."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crashing import ENV, Content, content, finished, leftovers

KILLS = int(os.environ.get("MOSEI_KILLS", "2"))
PROGRAM = [sys.executable, "-c", "from mosei_cli.align import main; main()"]
BUILD = ["build", "--policy", "masked", "--jobs", "2", "--videos-per-shard", "32"]


def start(place: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a build in a process group of its own; what it says goes to the file `stderr`."""
    with (place / "stderr").open("w") as told:
        command = [*PROGRAM, *BUILD, *options]
        return subprocess.Popen(
            command, cwd=place, env=ENV, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True
        )


def finish(place: Path, *options: str) -> None:
    """Build to the end."""
    assert start(place, *options).wait(timeout=120) == 0, (place / "stderr").read_text()


@pytest.mark.parametrize("over", [False, True], ids=["fresh", "over another"])
def test_a_build_killed_at_random_moments_is_whole_in_the_end(
    place: Path, built: dict[str, Path], wholes: dict[str, Content], over: bool
) -> None:
    """Kill it, look as a reader does, go on, kill that too; now and then let it finish."""
    moments, left = random.Random(f"{KILLS} {over}"), KILLS // 2
    began = time.monotonic()
    finish(place)
    usual, killed = time.monotonic() - began, 0
    while killed < left:
        shutil.rmtree(place / "parquet")
        if over:
            shutil.copytree(built["strict"], place / "parquet")
        options = ["--overwrite"] if over else []
        before: dict[str, int] = {}
        while killed < left:
            process = start(place, *options, *(["--resume"] if before or finished(place) else []))
            time.sleep(moments.uniform(0.3, 1.1) * usual)
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            stands = (place / "parquet").exists()
            assert stands or not over
            assert not stands or content(place / "parquet") in (wholes["masked"], *([wholes["strict"]] * over))
            now = finished(place)
            assert stands or before.items() <= now.items(), "a finished shard was made again"
            before = now
        finish(place, "--resume", *options)
        assert content(place / "parquet") == wholes["masked"]
        assert leftovers(place) == []


@pytest.mark.parametrize(
    ("sent", "code", "whom"), [(signal.SIGINT, 130, "the program"), (signal.SIGTERM, 143, "its whole group")]
)
def test_a_signal_stops_the_workers_too_within_two_seconds(
    place: Path, wholes: dict[str, Content], sent: signal.Signals, code: int, whom: str
) -> None:
    process = start(place)
    while not finished(place) and process.poll() is None:
        time.sleep(0.005)
    began = time.monotonic()
    os.kill(process.pid, sent) if whom == "the program" else os.killpg(process.pid, sent)
    process.wait(timeout=60)
    took, told = time.monotonic() - began, (place / "stderr").read_text()
    if process.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert process.returncode == code, told
    assert told.startswith(f"mosei-align: {'interrupted' if code == 130 else 'terminated'}; ")
    assert told.endswith(" of 3 shards are done and kept; go on with --resume\n")
    assert took < 10, "2 s on a machine that has nothing else to do"
    finish(place, "--resume")
    assert content(place / "parquet") == wholes["masked"]
    assert leftovers(place) == []


@pytest.mark.parametrize("moment", range(2))
def test_a_signal_at_any_moment_is_one_line(place: Path, moment: int) -> None:
    """Also while Python and the workers start; a signal before the program listens has no line at all."""
    process = start(place)
    time.sleep(random.Random(moment).uniform(0.3, 1.2))
    sent = (signal.SIGINT, signal.SIGTERM)[moment % 2]
    process.send_signal(sent)
    code = process.wait(timeout=60)
    told = (place / "stderr").read_text()
    if code == 0:
        assert told == ""
    elif "import" not in told:
        assert code in (128 + sent, -sent)
        assert told.count("\n") <= 1
        assert "Traceback" not in told
