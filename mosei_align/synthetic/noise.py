"""Standard normal noise, any rows of which can be made at any time and in any process.

Legend: F = frames, D = columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

_LEVELS = 2**16
# A value is one 16-bit draw. The generator gives 64 bits a step, and keeps half of them where 32 were asked for.
_PER_STEP = 4
_PER_HALF = 2


@dataclass(frozen=True, slots=True)
class Noise:
    """(F, width) float32 values, picked from a table by 16-bit draws: what `rng.integers` gives, row by row.

    Attributes:
        state: of the generator (PCG64) before the first draw.
        width: D.
    """

    state: Any
    width: int

    def rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """(stop - start, D) the rows from `start` up to `stop`."""
        count, first = (stop - start) * self.width, start * self.width
        kept = self._kept_half()
        inside = max(first - len(kept), 0)
        steps, skipped = divmod(inside, _PER_STEP)
        generator = np.random.PCG64(0)
        generator.state = self.state
        # This forgets the half step, if there is one.
        generator.advance(steps)
        raw: npt.NDArray[np.uint64] = generator.random_raw(-(-(count + skipped) // _PER_STEP))
        # The lowest bits come first, whatever the machine's own byte order.
        draws = raw.astype("<u8", copy=False).view("<u2")[skipped:]
        if first < len(kept):
            draws = np.concatenate([kept[first:], draws])
        return np.take(_quantiles(), draws[:count], mode="wrap").reshape(-1, self.width)

    def _kept_half(self) -> npt.NDArray[np.uint16]:
        """The two draws in the half step that the generator had kept; none where it had none."""
        if not self.state["has_uint32"]:
            return np.empty(0, "<u2")
        return np.array([self.state["uinteger"]], "<u4").view("<u2")


def take_noise(rng: np.random.Generator, count: int, width: int) -> Noise:
    """The noise (count, width) that comes next in `rng`, which goes on behind it without making it."""
    state = rng.bit_generator.state
    halves = -(-count * width // _PER_HALF)
    if halves and state["has_uint32"]:
        rng.integers(0, 2**32, dtype=np.uint32)
        halves -= 1
    if halves > 1:
        assert isinstance(rng.bit_generator, np.random.PCG64)
        rng.bit_generator.advance(halves // 2)
    if halves % 2:
        rng.integers(0, 2**32, dtype=np.uint32)
    return Noise(state, width)


@cache
def _quantiles() -> npt.NDArray[np.float32]:
    """(65,536,) evenly spaced quantiles of the standard normal law."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / _LEVELS) for i in range(_LEVELS)], np.float32)
