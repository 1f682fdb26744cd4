"""Single frames (rows of a modality): which are valid, and the mean over some of them.

Legend: N = frames, D = width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mosei_align.intervals import Indices
from mosei_schemas.manifest import NonFinite

Features = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameTally:
    """What was found while the frames of a video were checked."""

    rows_nonfinite: int
    rows_zero: int
    values_zero_filled: int
    nonfinite_by_column: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FrameRule:
    """Which frames count.

    Attributes:
        nonfinite: `frame`: a frame with a NaN or infinite value is invalid; `column`: only the bad columns are;
            `zero`: the bad values become 0 and the frame counts (as the Affect-Diff paper does).
        zero_is_invalid: whether a row of zeros only is invalid (video: no face was found; text: no vector is known).
        zero_is_none: whether such a row is no frame at all (text: a pause).
    """

    nonfinite: NonFinite
    zero_is_invalid: bool = False
    zero_is_none: bool = False

    def __post_init__(self) -> None:
        assert self.nonfinite != "keep", "policy mmsdk has an alignment of its own"

    @classmethod
    def of(cls, modality: str, nonfinite: NonFinite) -> FrameRule:
        """The rule of a modality."""
        return cls(nonfinite, modality in ("text", "video"), modality == "text")

    def valid(self, bad: Bools, zero: Bools) -> Bools:
        """(N,) which frames count, from (N,) which have a value that is not finite and (N,) which are zeros only."""
        valid = ~bad if self.nonfinite == "frame" else np.ones(len(bad), np.bool_)
        return valid & ~zero if self.zero_is_invalid else valid

    def mean(self, rows: Features) -> npt.NDArray[np.float64] | None:
        """(D,) the mean over some valid frames, (n, D), in float64.

        Returns:
            None where there is no frame or, under `column`, no finite value in some column.
        """
        if not len(rows):
            return None
        if self.nonfinite == "frame":
            return _sum(rows) / len(rows)
        finite = np.isfinite(rows)
        counts = finite.sum(axis=0)
        if self.nonfinite == "column" and not counts.all():
            return None
        return _sum(np.where(finite, rows, np.float32(0))) / (len(rows) if self.nonfinite == "zero" else counts)


class OddRows(NamedTuple):
    """Rows that are not like others.

    Attributes:
        zero: (N,) whether a row is zeros only.
        bad: (N,) whether a row holds NaN or an infinity.
        bad_rows: (B,) which these are.
        bad_values: (B, D) which of their values.
    """

    zero: Bools
    bad: Bools
    bad_rows: Indices
    bad_values: Bools


def odd_rows(features: Features) -> OddRows:
    """Rows of zeros only, and rows that hold NaN or an infinity.

    A row's sum is finite only if all its values are, and zero if they are; so one fast sum finds the few rows worth a
    closer look. (A product with ones would be as fast, but it brings threads of its own into every worker.)
    """
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.einsum("ij->i", features)
    zero, bad = sums == 0, ~np.isfinite(sums)
    (places,) = zero.nonzero()
    if len(places):
        zero[places] = ~features[places].any(axis=1)
    (places,) = bad.nonzero()
    wrong = ~np.isfinite(features[places])
    if len(places):
        # A sum may be too large though no value is.
        is_bad = wrong.any(axis=1)
        if np.count_nonzero(is_bad) < len(places):
            bad[places] = is_bad
            places, wrong = places[is_bad], wrong[is_bad]
    return OddRows(zero, bad, places, wrong)


def nonfinite_rows(features: Features) -> Bools:
    """(N,) whether a row holds NaN or an infinity."""
    return odd_rows(features).bad


def zero_rows(features: Features) -> Bools:
    """(N,) whether a row is zeros only."""
    return odd_rows(features).zero


def _sum(rows: Features) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = np.add.reduce(rows, 0, np.float64)
    return total
