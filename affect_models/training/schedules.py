"""Factors that change while training goes on."""

from __future__ import annotations

import math


def ramp(epoch: float, length: float) -> float:
    """min(1, epoch / length), eq. 13; epochs count from 0, so the first has 0. Always 1 where `length` is 0."""
    return 1.0 if length <= 0 else min(1.0, epoch / length)


def cosine_factor(step: int, total_steps: int) -> float:
    """Factor of the learning rate: 1 at step 0, falling along half a cosine to 0 at `total_steps` and after."""
    return 0.5 * (1 + math.cos(math.pi * min(step, total_steps) / max(total_steps, 1)))
