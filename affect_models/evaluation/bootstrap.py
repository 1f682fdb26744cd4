"""The bootstrap over groups, on sufficient statistics.

Legend: N = samples, G = groups, B = weightings computed at once, K = statistics.

A metric that is a function of sums over samples needs no copy of the samples to be resampled: the sums are taken once
per group, and a resample is a vector of counts, how often each group was drawn. `Weights` holds B such vectors, and
the definitions compute B values of a metric together. The value on the data itself is the case B = 1, one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CONFIDENCE = 0.95
"""The share of the resamples that an interval holds."""


@dataclass(frozen=True, slots=True)
class Weights:
    """B weightings of N samples that lie in G groups; the samples of a group always have the same weight.

    Attributes:
        group_N: the group of each sample, 0 ... G - 1.
        counts_GB: how often each group counts in each weighting: whole numbers, so sums of counts are exact.
    """

    group_N: Ints
    counts_GB: Floats

    def sums(self, values_NK: Floats) -> Floats:
        """Weighted sums over the samples: values (N, K) -> (B, K)."""
        columns = [self.cells(np.zeros_like(self.group_N), 1, column) for column in values_NK.T]
        return np.concatenate(columns, axis=1)

    def cells(self, cell_N: Ints, n_cells: int, values_N: Floats | None = None) -> Floats:
        """Weighted counts (or sums of `values_N`) of the samples in each of `n_cells` cells: (B, n_cells)."""
        n_groups = len(self.counts_GB)
        place = self.group_N * n_cells + cell_N
        per_group = np.bincount(place, values_N, minlength=n_groups * n_cells).reshape(n_groups, n_cells)
        return np.asarray(self.counts_GB.T @ per_group.astype(np.float64), np.float64)

    def is_constant(self, values_N: Floats) -> Bools:
        """Whether all samples of non-zero weight have one value: (B,)."""
        low_G = np.full(len(self.counts_GB), np.inf)
        high_G = np.full(len(self.counts_GB), -np.inf)
        np.minimum.at(low_G, self.group_N, values_N)
        np.maximum.at(high_G, self.group_N, values_N)
        drawn_GB = self.counts_GB > 0
        low_B = np.where(drawn_GB, low_G[:, None], np.inf).min(axis=0)
        high_B = np.where(drawn_GB, high_G[:, None], -np.inf).max(axis=0)
        return np.asarray(low_B >= high_B, np.bool_)


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval, and in how many resamples the metric was undefined."""

    low: float | None
    high: float | None
    undefined: int


def whole(n: int) -> Weights:
    """The data as it is: every one of n samples once."""
    return Weights(np.zeros(n, np.int64), np.ones((1, 1)))


def resample(groups: npt.NDArray[Any], resamples: int, seed: int) -> Weights:
    """Draw as many groups as there are, with replacement, `resamples` times.

    Args:
        groups: (N,) group ids; their sorted order is the order of the draws, so the order of the samples has no
            influence on them.
        resamples: B.
        seed: of numpy's default generator, which draws an array (B, G) of group numbers.
    """
    names, group_N = np.unique(groups, return_inverse=True)
    n_groups = len(names)
    drawn_BG = np.random.default_rng(seed).integers(0, n_groups, size=(resamples, n_groups))
    place = drawn_BG + np.arange(resamples)[:, None] * n_groups
    counts = np.bincount(place.ravel(), minlength=resamples * n_groups).reshape(resamples, n_groups)
    return Weights(group_N.reshape(-1).astype(np.int64), np.ascontiguousarray(counts.T, np.float64))


def percentile_interval(values_B: Floats) -> Interval:
    """The central 95 % of the values of a metric; NaN stands for undefined and is left out and counted.

    Percentile method of Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    defined = values_B[~np.isnan(values_B)]
    undefined = len(values_B) - len(defined)
    if not len(defined):
        return Interval(None, None, undefined)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high), undefined)
