"""The processes that make a corpus: tasks go out as fast as results are wanted, and come back in order."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType, TracebackType
from typing import Final, Self, TypeVar

from mosei_align.engines.local import as_worker
from mosei_schemas.errors import OutputError

Note = TypeVar("Note")
Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD: Final = 3
"""Tasks under way for every process: one that runs, and some so that none waits."""


class Crew:
    """Worker processes; with one job there are none, and everything runs here.

    A context manager: when the block ends, by an error too, no process is left at work. In the block, Ctrl-C is
    raised between two results: h5py drops what is raised inside it, and so an interrupt could be lost. A second one is
    raised where it comes.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._interrupted = self._listens = False

    def __enter__(self) -> Self:
        if self._jobs > 1:
            # Not "fork": HDF5 and BLAS have threads and locks of their own, which a forked child inherits half.
            self._pool = ProcessPoolExecutor(self._jobs, multiprocessing.get_context("spawn"), as_worker)
        in_charge = threading.current_thread() is threading.main_thread()
        if in_charge and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note_interrupt)
            self._listens = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if error is None:
            self._heed_interrupt()

    def _note_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            signal.default_int_handler(number, frame)
        self._interrupted = True

    def _heed_interrupt(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt

    def map(
        self, work: Callable[[Task], Result], tasks: Iterable[tuple[Note, Task | None]]
    ) -> Iterator[tuple[Note, Result | None]]:
        """Do every task and yield the results in the order of the tasks.

        Args:
            work: a function of a module.
            tasks: asked for only a few ahead of the results. Each has a note, which comes back with the result and
                goes to no other process; a task that is None has the result None.

        Raises:
            OutputError: a process died (usually: the machine ran out of memory).
        """
        waiting: deque[tuple[Note, Future[Result] | None]] = deque()
        try:
            for note, task in tasks:
                self._heed_interrupt()
                if self._pool is None:
                    yield note, None if task is None else work(task)
                    continue
                future = None if task is None else _submitted(self._pool, work, task)
                waiting.append((note, future))
                if len(waiting) > _AHEAD * self._jobs:
                    note, future = waiting.popleft()
                    yield note, None if future is None else future.result()
            while waiting:
                self._heed_interrupt()
                note, future = waiting.popleft()
                yield note, None if future is None else future.result()
        except BrokenProcessPool as error:
            raise OutputError(
                "a worker process died, probably for want of memory", remedy="try again with --jobs 1"
            ) from error


def _submitted(pool: ProcessPoolExecutor, work: Callable[[Task], Result], task: Task) -> Future[Result]:
    # Ctrl-C reaches every process of the terminal, and only the one that cleans up is to hear it. The pool starts a
    # process when a task finds none idle, and that one inherits the mask.
    unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
