"""Running independent tasks in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mosei_schemas.errors import OutputError

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """The cores this process may use (a batch system may grant fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, done: Callable[[int, Result], None]
) -> None:
    """Run every task and report each result, with the task's number, as soon as it is there.

    Args:
        work: a module-level function; with several jobs it runs in other processes.
        tasks: what to call it with.
        jobs: processes; 1 runs here.
        done: called here, in any order.

    Raises:
        OutputError: a worker process died (usually: the machine ran out of memory).
    """
    for number, result in _results(work, tasks, min(jobs, len(tasks))):
        done(number, result)


def _results(work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[tuple[int, Result]]:
    if jobs <= 1:
        for number, task in enumerate(tasks):
            yield number, work(task)
        return
    # Not "fork": HDF5, Arrow and BLAS have threads and locks of their own, which a forked child inherits half.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(work, task): number for number, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise OutputError(
            "a worker process died, probably for want of memory", remedy="try again with --jobs 1"
        ) from error
    finally:
        # After an error the tasks that still wait are not run; those that run are waited for.
        pool.shutdown(wait=True, cancel_futures=True)
