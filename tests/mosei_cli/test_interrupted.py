"""Builds that are killed, go on, run beside each other and are merged: as a user meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosei_align.build import build
from mosei_align.building.workdir import claimed
from mosei_align.options import build_settings
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe

Start = Callable[..., subprocess.Popen[str]]
HOW = ("--policy", "masked", "--videos-per-shard", "32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shards of 32 videos."""
    folder = tmp_path_factory.mktemp("interrupted") / "csd"
    write_corpus(
        folder, Recipe(videos=190, seed=2, mean_segments=2, mean_gap_s=2, text_width=8, audio_width=8, clean=True)
    )
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """All of a dataset but the facts of the run."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    del files["build.json"]
    return files


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed build makes."""
    out = tmp_path_factory.mktemp("whole") / "parquet"
    build(corpus, out, build_settings(policy="masked", videos_per_shard=32), jobs=1)
    found = content(out)
    assert sum(name.startswith("segments/") for name in found) == 6
    return found


@pytest.fixture
def start(corpus: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a build in a process group of its own; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*options: str, command: str = "build") -> subprocess.Popen[str]:
        code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        code += "from mosei_cli.align import main; main()"
        given = ["--csd", str(corpus), *HOW, *options] if command == "build" else options
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, command, *given],
                cwd=tmp_path,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        )
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def finished(work: Path) -> dict[str, tuple[int, int]]:
    """Finished shards with the inode and the time of their record."""
    found = {p.parent.name: p.stat() for p in (work / "pieces").glob("*/piece.json") if p.parent.name.isdigit()}
    return {name: (told.st_ino, told.st_mtime_ns) for name, told in found.items()}


def held_worker(process: subprocess.Popen[str], work: Path, besides: int = 0) -> int:
    """Stop a worker in the middle of a shard, so that the build cannot end; not one that is stopped already."""
    held: list[int] = []

    def hold() -> bool:
        for staging in (work / "pieces").glob(".*.part"):
            worker = int(staging.name.split(".")[-2].partition("-")[0])
            if worker == besides:
                continue
            os.kill(worker, signal.SIGSTOP)
            wait_for(lambda worker=worker: state_of(worker)[0] == "T")
            if staging.exists():
                held.append(worker)
                return True
            os.kill(worker, signal.SIGCONT)
        assert process.poll() is None
        return False

    wait_for(hold)
    return held[0]


def state_of(process: int) -> list[str]:
    """What the system says of a process after its name: state, parent, group, ..."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def in_group(group: int) -> list[int]:
    """Processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = state_of(int(path.name))
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.name))
    return found


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_build_that_is_killed_goes_on_where_it_was(
    start: Start, cli, tmp_path: Path, corpus: Path, whole: dict[str, bytes], after: int
) -> None:
    work = tmp_path / ".parquet.building"
    process = start("--jobs", "2")
    wait_for(lambda: ((work / "plan.json").exists() and len(finished(work)) >= after) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if (tmp_path / "parquet").exists():
        pytest.skip("it was faster than the signal")
    kept = finished(work)
    assert len(kept) >= after
    done = cli("mosei-align", "build", "--csd", corpus, *HOW)
    if kept:
        assert done.returncode == 1
        assert done.stderr == (
            f"mosei-align: error: {work}: an interrupted build has left {len(kept)} finished shards here; go on with "
            "--resume, or start afresh with --overwrite\n"
        )
        assert finished(work) == kept
        done = cli("mosei-align", "build", "--csd", corpus, *HOW, "--resume", "--jobs", "1")
        told = f'"shards_resumed": {len(kept)}'
        assert told in (tmp_path / "parquet" / "build.json").read_text()
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "parquet") == whole
    assert [p.name for p in tmp_path.iterdir()] == ["parquet"]


@pytest.mark.parametrize("merging", [False, True])
def test_a_build_that_is_killed_while_it_puts_the_dataset_together_leaves_nothing_in_the_end(
    start: Start, cli, tmp_path: Path, corpus: Path, whole: dict[str, bytes], merging: bool
) -> None:
    if merging:
        assert cli("mosei-align", "build", "--csd", corpus, *HOW, "--shard", "1/1").returncode == 0
    process = start(command="merge") if merging else start("--jobs", "2")
    wait_for(lambda: bool(list(tmp_path.glob(".parquet.*.part"))) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if (tmp_path / "parquet").exists():
        pytest.skip("it was faster than the signal")
    again = ["merge"] if merging else ["build", "--csd", corpus, *HOW, "--resume"]
    done = cli("mosei-align", *again)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "parquet") == whole
    assert [p.name for p in tmp_path.iterdir()] == ["parquet"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_the_build(start: Start, tmp_path: Path, sent: signal.Signals) -> None:
    process = start("--jobs", "2")
    worker = held_worker(process, tmp_path / ".parquet.building")
    os.kill(worker, signal.SIGCONT)
    process.send_signal(sent)
    process.wait()
    wait_for(lambda: not in_group(process.pid))


@pytest.mark.parametrize("held", [False, True])
def test_an_interrupt_is_one_line_at_most_and_keeps_what_is_done(
    start: Start, cli, tmp_path: Path, corpus: Path, whole: dict[str, bytes], held: bool
) -> None:
    work = tmp_path / ".parquet.building"
    process = start("--jobs", "2")
    if held:
        held_worker(process, work)
    wait_for(lambda: len(finished(work)) >= 1 or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    if not held and (tmp_path / "parquet").exists():
        pytest.skip("it was faster than the signal")
    assert process.returncode == 130
    assert told.count("\n") <= 1
    assert "Traceback" not in told
    assert finished(work)
    done = cli("mosei-align", "build", "--csd", corpus, *HOW, "--resume")
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "parquet") == whole


def test_an_interrupt_while_shards_wait_that_no_worker_will_come_to(start: Start, tmp_path: Path) -> None:
    process = start("--jobs", "2", "--videos-per-shard", "8")
    held = held_worker(process, tmp_path / ".parquet.building")
    held_worker(process, tmp_path / ".parquet.building", besides=held)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.count("\n") <= 1
    assert "Traceback" not in told
    wait_for(lambda: not in_group(process.pid))


def test_a_worker_that_is_killed_is_one_line(
    start: Start, cli, tmp_path: Path, corpus: Path, whole: dict[str, bytes]
) -> None:
    process = start("--jobs", "2")
    worker = held_worker(process, tmp_path / ".parquet.building")
    wait_for(lambda: len(finished(tmp_path / ".parquet.building")) >= 1)
    os.kill(worker, signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.startswith("mosei-align: error: a worker process died, probably for want of memory (")
    assert told.endswith("of 6 shards are done and kept); use fewer --jobs; then go on with --resume\n")
    assert told.count("\n") == 1
    done = cli("mosei-align", "build", "--csd", corpus, *HOW, "--resume")
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "parquet") == whole
    assert [p.name for p in tmp_path.iterdir()] == ["parquet"]


def test_two_builds_of_one_output(fails, tmp_path: Path, corpus: Path) -> None:
    work = tmp_path / ".parquet.building"
    with claimed(work, "alone"):
        line = fails("mosei-align", "build", "--csd", corpus, *HOW)
    assert line == (
        f"mosei-align: error: {work}: process {os.getpid()} on {os.uname().nodename} is at work here; wait for it, or "
        "choose another folder with --out\n"
    )


def test_a_merge_beside_a_build_of_one_output(cli, fails, tmp_path: Path, corpus: Path) -> None:
    assert cli("mosei-align", "build", "--csd", corpus, *HOW, "--shard", "1/1").returncode == 0
    with claimed(tmp_path / ".parquet.building", "alone"):
        assert f"process {os.getpid()} on {os.uname().nodename} is at work here" in fails("mosei-align", "merge")
    assert cli("mosei-align", "merge").returncode == 0


def test_runs_of_shards_and_a_merge(
    start: Start, cli, fails, tmp_path: Path, corpus: Path, whole: dict[str, bytes]
) -> None:
    runs = [start("--shard", f"{number}/2", "--jobs", "1") for number in (1, 2)]
    told = [process.communicate(timeout=120) for process in runs]
    assert [process.returncode for process in runs] == [0, 0], told
    assert any("merge" in out for out, _ in told)  # whoever ends last sees that all are there
    done = cli("mosei-align", "merge")
    assert done.returncode == 0, done.stderr
    assert "labelled segments" in done.stdout
    assert content(tmp_path / "parquet") == whole
    assert [p.name for p in tmp_path.iterdir()] == ["parquet"]
    assert "parquet: already holds a dataset" in fails("mosei-align", "merge")
    assert "parquet.parts: no finished shards here" in fails("mosei-align", "merge", "--overwrite")
    assert content(tmp_path / "parquet") == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard", "3/2"], "--shard: '3/2' is not I/N with 1 <= I <= N; e.g. --shard $SLURM_ARRAY_TASK_ID/"),
        (["--shard", "1/7"], "--shard: 7 parts of 6 shards; use at most 6 parts"),
        (["--steps", "uniform:0"], "--steps: 'uniform:0' is not possible; give words, uniform:SECONDS"),
        (["--format", "csv"], "--format: 'csv' is not possible; input should be 'parquet' or 'arrow'"),
        (["--policy", "paper", "--steps", "words"], "--steps: means nothing to policy paper"),
        (["--policy", "mmsdk", "--nonfinite", "zero"], "--nonfinite: means nothing to policy mmsdk"),
        (["--engine", "ray"], "--engine: 'ray' is not possible; give local or dask"),
        (["--scheduler", "tcp://x:1"], "--scheduler: means nothing to the local engine; add --engine dask"),
    ],
)
def test_impossible_options_of_a_build(fails, tmp_path: Path, corpus: Path, options: list[str], words: str) -> None:
    line = fails("mosei-align", "build", "--csd", corpus, *HOW[2:], *options)
    assert words in line
    assert [p.name for p in tmp_path.iterdir() if p.name != "parquet.parts"] == []
