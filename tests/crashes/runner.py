"""Runs commands in forked children, each of which meets a fault at one of its operations on the file system.

Started as a program it has everything imported, so that a command takes a tenth of a second. It reads one JSON object a
line: `args`, `folder`, `fault` (see `Faults`) and `at`, and answers each with `code` and `operations`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mosei_align.dataset import shards


class Faults:
    """Counts what a process does to the file system, and lets the `at`-th operation meet a fault.

    kill: the process is killed before it, or half way through it where it writes; ENOSPC, EDQUOT, EIO, EROFS: it fails,
    and with a full disk so does every later write; vanish: an input file is removed before it; term, int: a signal.
    """

    def __init__(self, fault: str, at: int, counter: Path) -> None:
        self.fault, self.at, self.counter, self.done = fault, at, counter, 0

    def install(self) -> None:
        for name in ("fsync", "rename", "replace", "link", "mkdir", "unlink", "rmdir"):
            setattr(os, name, self._before(getattr(os, name)))
        pathlib.Path.write_bytes = self._writing(pathlib.Path.write_bytes)  # type: ignore[method-assign]
        pq.write_table = self._writing(pq.write_table)
        shards.write_parquet = self._writing(shards.write_parquet)
        os.open = self._opening(os.open)
        io.open = self._opening(io.open)

    def _before(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._meets():
                self._happen(None)
            return work(*args, **kwargs)

        return call

    def _writing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            path = next((Path(a) for a in args if isinstance(a, str | os.PathLike)), None)
            if path is not None and self._meets():  # else it is written to memory
                self._happen(lambda: half(lambda: work(*args, **kwargs), path))
            return work(*args, **kwargs)

        return call

    def _opening(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, mode: Any = "r", *args: Any, **kwargs: Any) -> Any:
            writes = mode & (os.O_WRONLY | os.O_RDWR) if isinstance(mode, int) else set(mode) & set("wax+")
            if writes and self._meets():
                self._happen(None)
            return work(path, mode, *args, **kwargs)

        return call

    def _meets(self) -> bool:
        self.done += 1
        return self.done == self.at or (self.done > self.at > 0 and self.fault in ("ENOSPC", "EDQUOT"))

    def _happen(self, partly: Callable[[], None] | None) -> None:
        if self.fault == "kill":
            if partly is not None:
                partly()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault in ("term", "int"):
            os.kill(os.getpid(), signal.SIGTERM if self.fault == "term" else signal.SIGINT)
        elif self.fault == "vanish":
            sorted(Path("csd").glob("*COVAREP*"))[0].rename(Path("gone"))
        else:
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number))


def half(work: Callable[[], None], path: Path) -> None:
    """Write a file, and lose the second half of it."""
    work()
    os.truncate(path, path.stat().st_size // 2)


def child(order: dict[str, Any], folder: Path, counter: Path) -> None:
    """Run one command; never returns."""
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "stdout"), (2, "stderr")):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["mosei-align", *order["args"]]
    faults = Faults(order["fault"], order["at"], counter)
    faults.install()
    code = 0
    try:
        from mosei_cli import align

        align.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        faults.at = 0
        counter.write_text(str(faults.done))
        os._exit(code)


def main() -> None:
    """Serve."""
    import mosei_cli.show  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        folder = Path(order["folder"])
        counter = folder.with_name(f"{folder.name}.count")
        counter.write_text("0")
        process = os.fork()
        if not process:
            child(order, folder, counter)
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "operations": int(counter.read_text())}), flush=True)


if __name__ == "__main__":
    main()
