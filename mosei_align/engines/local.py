"""Running independent tasks in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from types import ModuleType
from typing import Any, Final, Protocol, TypeVar

from mosei_schemas.errors import OutputError

Task = TypeVar("Task")
Result = TypeVar("Result")

_OF_WORKERS: Final = {
    # Several workers whose matrix libraries take all cores each only get in each other's way.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # What one shard has taken is kept for the next: fetching it anew from the system takes a tenth of the time. glibc
    # can be told so, and Arrow to take its memory from there.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


_GRACE_S: Final = 1.0
_HAS_SERVER: Final = sys.platform.startswith("linux")


class Engine(Protocol):
    """Where tasks run."""

    def __call__(self, work: Callable[[Any], Any], tasks: Sequence[Any], done: Callable[[int, Any], None], /) -> None:
        """Run every task and report each result, with the task's number, as soon as it is there.

        Args:
            work: a module-level function.
            tasks: what to call it with.
            done: called in this process, in any order.

        Raises:
            MoseiError: a task's own, or a worker died; what is done has been reported.
        """


def available_cores() -> int:
    """The cores this process may use (a batch system may grant fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def local_engine(jobs: int, modules: Sequence[str] = ()) -> Iterator[Engine]:
    """An engine of `jobs` processes on this machine; 1 runs the tasks here.

    Args:
        jobs: how many.
        modules: what the workers will need; where the system can, it is imported once for all of them.

    A worker that dies (usually: the machine ran out of memory) is an OutputError. After an error tasks that still wait
    are not run, and those that run are waited for; after an interruption for a second, then the workers are killed.
    """
    if jobs <= 1:
        yield _here
        return
    start_server(modules)
    with _environment(_OF_WORKERS):
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(jobs, _context(), as_worker)
        try:
            yield _Pool(pool)
        except Exception:
            raise
        except BaseException:
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Not "fork": HDF5, Arrow and BLAS have threads and locks of their own, which a forked child inherits half."""
    return multiprocessing.get_context("forkserver" if _HAS_SERVER else "spawn")


def start_server(modules: Sequence[str]) -> None:
    """Start the process that workers are forked from: it imports everything once, without threads.

    It works at that beside this process, so the earlier it is started, the less it is waited for. Once is enough.
    """
    if not _HAS_SERVER:
        return
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    # Ctrl-C reaches it too, and would be a traceback in the middle of its imports.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        with _environment(_OF_WORKERS):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _here(work: Callable[[Task], Result], tasks: Sequence[Task], done: Callable[[int, Result], None]) -> None:
    for number, task in enumerate(tasks):
        done(number, work(task))


def as_worker() -> None:
    """Leave Ctrl-C and SIGTERM to the parent, which waits for what runs; and do not outlive it, whatever ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Pool:
    """Tasks in the processes of a pool."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def __call__(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], done: Callable[[int, Result], None]
    ) -> None:
        futures: dict[Any, int] = {}
        try:
            with _undisturbed(), _main_left_alone():
                futures |= {self._pool.submit(work, task): number for number, task in enumerate(tasks)}
            for future in as_completed(futures):
                done(futures[future], future.result())
        except BrokenProcessPool as error:
            raise OutputError(
                "a worker process died, probably for want of memory", remedy="use fewer --jobs"
            ) from error
        except Exception:
            raise
        except BaseException:
            # None is cancelled here: a pool whose workers are then killed would want to fail it, and stumble over that.
            wait([future for future in futures if future.running()], timeout=_GRACE_S)
            raise


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Start workers that do not import the program that starts them.

    They have no use for it, it may take longer to import than all they need, and a script that has no
    `if __name__ == "__main__":` would start itself over and over. `multiprocessing` asks the main module where it is
    from; one that does not say is left alone.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block ends: a worker that is half started would be known to nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _frame: arrived.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in arrived[:1]:
            signal.raise_signal(number)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables that child processes inherit, as far as the user has not set them."""
    missing = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
