"""Assigning groups to parts so that every class keeps its share in every part.

Legend: G = groups, C = classes, P = parts, N = segments.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_MIN_STARTS, _MAX_STARTS, _START_BUDGET = 4, 32, 6_000
"""Small problems get more starts: they are cheap there, and luck matters more."""
_SWAP_SAMPLE: Final = 128
_PATIENCE: Final = 25


def assign_groups(counts: Ints, ratios: Floats, seed: int) -> Ints:
    """Assign whole groups to parts; minimises the squared deviation of every class's share from the part's ratio.

    A greedy start (largest groups first), then single moves to a local optimum, then swaps of two groups; the best of
    several seeded starts: the one with the fewest classes missing from a part, then with the smallest worst deviation.
    The total number of segments counts as one more class, so that sizes come out too.

    Args:
        counts: (G, C) segments of each class in each group.
        ratios: (P,) share of each part, summing to 1.
        seed: the same seed gives the same assignment.

    Returns:
        (G,) part of each group.
    """
    totals = counts.sum(axis=0)
    shares = counts[:, totals > 0] / totals[totals > 0]
    shares = np.concatenate([shares, counts.sum(axis=1, keepdims=True) / counts.sum()], axis=1)
    best: tuple[tuple[int, float], Ints] | None = None
    for restart in range(min(_MAX_STARTS, max(_MIN_STARTS, _START_BUDGET // len(counts)))):
        rng = np.random.default_rng([seed, restart])
        parts = _greedy(shares, ratios, rng)
        parts = _improve(shares, ratios, parts, rng)
        sums = _sums(shares, parts, len(ratios))
        empty = int((sums[ratios > 0] == 0).sum())
        quality = (empty, float(np.abs(sums - ratios[:, None]).max()))
        if best is None or quality < best[0]:
            best = quality, parts
    assert best is not None
    return best[1]


def assign_rows(class_of: Ints, ratios: Floats, seed: int, *, stratify: bool) -> Ints:
    """Assign single segments: by lot, or by lot within each class.

    Returns:
        (N,) part of each segment; part sizes are the ratios, rounded to the largest remainders.
    """
    rng = np.random.default_rng([seed])
    parts = np.empty(len(class_of), np.int64)
    if not stratify:
        parts[rng.permutation(len(class_of))] = np.repeat(np.arange(len(ratios)), _sizes(len(class_of), ratios))
        return parts
    order = rng.permutation(len(class_of))
    labels, counts = np.unique(class_of, return_counts=True)
    for label, sizes in zip(labels, _table(counts, ratios), strict=True):
        rows = order[class_of[order] == label]
        parts[rows] = np.repeat(np.arange(len(ratios)), sizes)
    return parts


def _table(counts: Ints, ratios: Floats) -> Ints:
    """(C, P) sizes, each within one of its exact share, with the right sums both ways.

    Every share is rounded down; what is then missing in a class goes to the parts that lack most, classes that lack
    most first, which always comes out even (Gale and Ryser's construction).
    """
    exact = counts[:, None] * ratios
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    missing = _sizes(int(counts.sum()), ratios) - sizes.sum(axis=0)
    short = counts - sizes.sum(axis=1)
    for row in np.argsort(-short, kind="stable"):
        wanted = np.lexsort((-(exact - sizes)[row], -missing))[: short[row]]
        sizes[row, wanted] += 1
        missing[wanted] -= 1
    return sizes


def _sizes(count: int, ratios: Floats) -> Ints:
    exact = ratios * count
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    for part in np.argsort(-(exact - sizes), kind="stable")[: count - int(sizes.sum())]:
        sizes[part] += 1
    return sizes


def _sums(shares: Floats, parts: Ints, number: int) -> Floats:
    sums = np.zeros((number, shares.shape[1]))
    np.add.at(sums, parts, shares)
    return sums


def _greedy(shares: Floats, ratios: Floats, rng: np.random.Generator) -> Ints:
    size = (shares**2).sum(axis=1)
    order = np.argsort(-size * rng.uniform(0.9, 1.1, len(size)), kind="stable")
    missing = -np.repeat(ratios[:, None], shares.shape[1], axis=1)
    parts = np.zeros(len(shares), np.int64)
    open_parts = np.flatnonzero(ratios > 0)
    for group in order:
        # (m + a)^2 - m^2 = 2 m a + a^2: the part that most lacks what this group has gets it.
        parts[group] = open_parts[np.argmin((missing[open_parts] / ratios[open_parts, None]) @ shares[group])]
        missing[parts[group]] += shares[group]
    return parts


def _improve(shares: Floats, ratios: Floats, parts: Ints, rng: np.random.Generator) -> Ints:
    excess = _sums(shares, parts, len(ratios)) - ratios[:, None]
    closed = ratios <= 0
    norms = (shares**2).sum(axis=1)
    everyone = np.arange(len(shares))
    without_gain = 0
    while without_gain < _PATIENCE:
        along = shares @ excess.T
        change = 2 * (along - along[everyone, parts][:, None]) + 2 * norms[:, None]
        change[everyone, parts] = 0
        change[:, closed] = np.inf
        group, target = divmod(int(change.argmin()), len(ratios))
        if change[group, target] < -1e-15:
            excess[parts[group]] -= shares[group]
            excess[target] += shares[group]
            parts[group] = target
            continue
        without_gain = 0 if _swap(shares, parts, excess, rng) else without_gain + 1
    return parts


def _swap(shares: Floats, parts: Ints, excess: Floats, rng: np.random.Generator) -> bool:
    """Try a sample of swaps between two parts and do the best one; False where none helps."""
    left = rng.permutation(len(parts))[:_SWAP_SAMPLE]
    right = rng.permutation(len(parts))[:_SWAP_SAMPLE]
    difference = shares[right][None, :, :] - shares[left][:, None, :]
    pull = excess[parts[left]][:, None, :] - excess[parts[right]][None, :, :]
    change = 2 * (difference * (pull + difference)).sum(axis=2)
    change[parts[left][:, None] == parts[right][None, :]] = 0
    a, b = divmod(int(change.argmin()), len(right))
    if change[a, b] >= -1e-15:
        return False
    g, h = left[a], right[b]
    excess[parts[g]] += shares[h] - shares[g]
    excess[parts[h]] -= shares[h] - shares[g]
    parts[g], parts[h] = parts[h], parts[g]
    return True
