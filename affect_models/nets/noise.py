"""Random numbers of a network: drawn from a generator as it runs, or before.

A compiler cannot follow a generator and would end one piece of the network and begin another wherever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class Drawn:
    """Numbers that were drawn before, given out in the order in which the network asks for them.

    Args:
        numbers: what each call gets.
    """

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        self._left = list(numbers)

    def next(self) -> Tensor:
        """The next call's."""
        return self._left.pop(0)


@dataclass(frozen=True, slots=True)
class DrawnStreams:
    """What takes the place of `Streams` where the numbers were drawn before."""

    posterior: Drawn
    prior: Drawn


Source = torch.Generator | Drawn | None
"""None is the device's own generator."""


def normal(shape: Sequence[int], source: Source, device: torch.device) -> Tensor:
    """Standard normal numbers."""
    return source.next() if isinstance(source, Drawn) else torch.randn(shape, generator=source, device=device)


def uniform(shape: Sequence[int], source: Source, device: torch.device) -> Tensor:
    """Numbers in [0, 1)."""
    return source.next() if isinstance(source, Drawn) else torch.rand(shape, generator=source, device=device)


def integers(end: int, shape: Sequence[int], source: Source, device: torch.device) -> Tensor:
    """Whole numbers in [0, end)."""
    return source.next() if isinstance(source, Drawn) else torch.randint(end, shape, generator=source, device=device)
