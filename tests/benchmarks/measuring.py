"""What the benchmarks share: ratios as a sentence and one line of JSON, the memory of a process tree, a bare reader."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mosei_align.sources.corpus import open_corpus
from mosei_align.sources.modalities import SourceSettings

JOBS = 2


def fastest(work: Callable[[], Any], rounds: int = 5) -> float:
    """The least of several wall-clock times, in seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def say(name: str, ours: float, peer: float, what: str, *, limit: float | None = None, unit: str = "s") -> None:
    """Print a figure beside its peer or limit; append the JSON line to the file that MOSEI_BENCH_OUT names."""
    ratio = ours / peer
    wanted = f" (wanted: at most {limit:g})" if limit is not None else ""
    print(f"\n{name}: {ours:.3g} {unit}; {what}: {peer:.3g} {unit}; ratio {ratio:.2f}{wanted}")
    record = {"benchmark": name, "value": ours, "peer": what, "peer_value": peer, "unit": unit, "ratio": ratio}
    line = json.dumps(record | ({"limit": limit} if limit is not None else {}))
    print(line)
    if out := os.environ.get("MOSEI_BENCH_OUT"):
        with Path(out).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


class Memory:
    """The peak memory of a command and all its processes together, in MB, sampled every 20 ms.

    Attributes:
        pss: pages that processes share counted once.
        rss: the sum of all resident sets.
    """

    def __init__(self, *command: object) -> None:
        self.pss = self.rss = 0.0
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
        watcher = threading.Thread(target=self._watch, args=(process,))
        watcher.start()
        code = process.wait()
        watcher.join()
        assert code == 0, command

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            sums = {"Pss:": 0.0, "Rss:": 0.0}
            for member in _tree(process.pid):
                try:
                    lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
                except OSError:
                    continue
                for line in lines:
                    name, *rest = line.split()
                    if name in sums:
                        sums[name] += int(rest[0]) / 1000
            self.pss, self.rss = max(self.pss, sums["Pss:"]), max(self.rss, sums["Rss:"])
            time.sleep(0.02)


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [root]
    for member in found:
        found += children.get(member, [])
    return found


def program(*arguments: object) -> list[str]:
    """The command line of `mosei-align` in this environment."""
    return [sys.executable, "-c", "from mosei_cli.align import main; main()", *map(str, arguments)]


def read_arrays(files: list[tuple[str, str]], videos: list[str], rows: int) -> int:
    """Read the features of some videos through low-level h5py into one buffer that is used again and again."""
    buffer, total = np.empty(rows, np.float32), 0
    for path, root in files:
        with h5py.File(path) as file:
            data = file[root]["data"].id
            for video in videos:
                try:
                    dataset = h5py.h5d.open(data, f"{video}/features".encode())
                except KeyError:
                    continue
                size = int(np.prod(dataset.shape))
                if size:
                    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, buffer[:size].reshape(dataset.shape))
                    total += 4 * size
    return total


class Reading:
    """Two processes, started and warm, that read all features of the labelled videos."""

    def __init__(self, folder: Path) -> None:
        corpus = open_corpus(folder, SourceSettings())
        self._files = [(str(index.path), index.root) for index in corpus.modalities.values()]
        videos = sorted(corpus.labels.entries)
        self._shares = [videos[k::JOBS] for k in range(JOBS)]
        sizes = (
            entry.features.shape
            for index in corpus.modalities.values()
            for found in index.entries.values()
            for entry in found
            if entry.features
        )
        self._rows = max(int(np.prod(shape)) for shape in sizes)
        self._pool = ProcessPoolExecutor(JOBS, multiprocessing.get_context("spawn"))
        self.bytes = self.run()

    def run(self) -> int:
        done = [self._pool.submit(read_arrays, self._files, share, self._rows) for share in self._shares]
        return sum(future.result() for future in done)

    def close(self) -> None:
        self._pool.shutdown()
