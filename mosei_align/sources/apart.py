"""Indexing a file in a process of its own, which may perish of it.

In a damaged structure HDF5 can go in circles, ask for all memory or crash, and nothing in the process that called it
can then say so. What it has found in one process without trouble it finds in the next one, too: a file that was indexed
here can be opened, and its arrays found, anywhere.
"""

from __future__ import annotations

import os
import pickle
import resource
import selectors
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mosei_align.garbage import no_collections
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_schemas.errors import InputError

_SECONDS: Final = 5
_LONGEST_S: Final = 600
_BYTES_A_SECOND: Final = 1_000_000
"""Computing time for a file: some to begin with, more for its size, and an end. Real files take a hundredth of it."""
_ROOM: Final = 1 << 30
"""Memory for a file, on top of what the process has and of the file's size."""
_A_CORE: Final = 3
_PIECE: Final = 1 << 20
_REMEDY: Final = "download it again"
_DAMAGED: Final = "HDF5 {} its structure: the file is damaged"


def index_file(path: Path) -> CsdIndex:
    """Index one `.csd` file; whatever it does to HDF5 is one line.

    Raises:
        InputError: as `CsdFile` and its `index`; or HDF5 does not finish, crashes, or wants absurd amounts of memory.
    """
    return index_files([path])[0]


def index_files(paths: Sequence[Path], at_once: int = 1) -> list[CsdIndex]:
    """Index several `.csd` files, in this order, on `at_once` cores.

    Raises:
        InputError: as `index_file`; of several the first.
    """
    indexes = []
    for answer in _answers(paths, at_once):
        if not isinstance(answer, CsdIndex):
            raise answer
        indexes.append(answer)
    return indexes


@no_collections()  # An index is tens of thousands of objects; and a child's search would copy all that the parent has.
def _answers(paths: Sequence[Path], at_once: int) -> list[CsdIndex | Exception]:
    # A corpus is a few files: in turns of as many as there are cores, the last turn would leave cores idle.
    most = at_once if at_once == 1 else at_once * _A_CORE
    waiting = list(reversed(list(enumerate(paths))))
    found: dict[int, CsdIndex | Exception] = {}
    running: dict[int, _Child] = {}
    try:
        with selectors.DefaultSelector() as selector:
            while waiting or running:
                while waiting and len(running) < most:
                    number, path = waiting.pop()
                    running[number] = _Child(path)
                    selector.register(running[number].readable, selectors.EVENT_READ, number)
                for key, _ in selector.select():
                    if not running[key.data].read():
                        selector.unregister(key.fd)
                        found[key.data] = running.pop(key.data).answer()
    finally:
        for child in running.values():
            child.kill()
    return [found[number] for number in range(len(paths))]


class _Child:
    """A process that indexes a file and tells the answer through a pipe."""

    def __init__(self, path: Path) -> None:
        self._path, self._told = path, bytearray()
        size = path.stat().st_size if path.is_file() else 0
        self.readable, writable = os.pipe()
        self._pid = _fork()
        if not self._pid:
            os.close(self.readable)
            _answer(path, size, writable)
        os.close(writable)

    def read(self) -> bool:
        """Take in what there is; False at the end."""
        piece = os.read(self.readable, _PIECE)
        self._told += piece
        return bool(piece)

    def answer(self) -> CsdIndex | Exception:
        """What it has told, or why it could not."""
        status = self._ended()
        if os.WIFSIGNALED(status) or not self._told:
            told = "does not finish reading" if _out_of_time(status) else "crashes at"
            return InputError(_DAMAGED.format(told), path=self._path, remedy=_REMEDY)
        answer: CsdIndex | Exception = pickle.loads(self._told)
        return answer

    def kill(self) -> None:
        """Nobody waits for the answer any more."""
        os.kill(self._pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        os.close(self.readable)
        return os.waitpid(self._pid, 0)[1]


def _fork() -> int:
    """A child that touches nothing but this file, so that locks of other threads do not matter to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _out_of_time(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)


def _answer(path: Path, size: int, writable: int) -> None:
    """Index the file and send the index or the error; never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _limit(size)
        answer: Any
        try:
            with CsdFile(path) as file:
                answer = file.index()
        except MemoryError:
            answer = InputError(_DAMAGED.format("wants absurd amounts of memory for"), path=path, remedy=_REMEDY)
        except Exception as error:
            answer = error
        with os.fdopen(writable, "wb") as stream:
            pickle.dump(answer, stream, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)


def _limit(size: int) -> None:
    """Computing time, not time: a slow or busy machine is no damage, and nobody need be there to stop the process."""
    seconds = min(_SECONDS + size // _BYTES_A_SECOND, _LONGEST_S)
    _lower(resource.RLIMIT_CPU, seconds)
    _lower(resource.RLIMIT_CORE, 0)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    _lower(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + _ROOM + size)


def _lower(limit: int, value: int) -> None:
    """Set a soft limit, unless it is lower already."""
    soft, hard = resource.getrlimit(limit)
    known = [bound for bound in (soft, hard, value) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(limit, (min(known), hard))
