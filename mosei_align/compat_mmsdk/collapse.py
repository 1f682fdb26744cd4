"""Many rows to one, as mmsdk's tutorials do it with `numpy.average`, in every bit.

Legend: N = rows, D = columns.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mosei_align.compat_mmsdk.sequences import Array, Collapse
from mosei_schemas.errors import InputError

_PLAIN: Final = (np.dtype(np.float32), np.dtype(np.float64))


def average(intervals: Array, features: Array) -> Array:  # noqa: ARG001 (the signature of a collapse function)
    """The unweighted mean of the rows: `numpy.average(features, axis=0)`; strings are returned as they are.

    numpy adds the rows to +0.0 one after the other in the features' own type and divides by their number; where there
    is one column it sums pairwise.

    Args:
        intervals: (N, 2), not used.
        features: (N, D), N > 0, in C order.

    Returns:
        (D,), or the (N, D) strings.
    """
    if features.dtype.kind in "SU":
        return features
    if features.dtype not in _PLAIN or not features.shape[1]:
        return np.asarray(np.average(features, axis=0))
    total = np.add.reduce(features, axis=0)
    return np.asarray(np.true_divide(total, len(features), out=total))


def averaged_alone(features: Array) -> Array | None:
    """(N, D) -> (N, D) the `average` of each row by itself, all at once; None for all but float32 and float64."""
    if features.dtype not in _PLAIN or not features.shape[1]:
        return None
    return np.asarray(features + features.dtype.type(0))


def collapsed(collapse: Collapse, intervals: Array, features: Array, *, sequence: str, key: str) -> Array:
    """Apply a collapse function and check what mmsdk checks.

    Args:
        collapse: the function.
        intervals: (N, 2), clipped.
        features: (N, D).
        sequence, key: for the error.

    Returns:
        (1, D')

    Raises:
        InputError: the function fails, or does not make one row.
    """
    try:
        values = np.asarray(collapse(intervals, features))
    except Exception as error:
        raise InputError(
            f"{sequence}: the collapse function fails ({type(error).__name__}: {error})",
            ident=key,
            remedy="correct the function",
        ) from error
    if values.ndim == 1:
        values = values[None, :]
    if values.ndim == 0 or values.shape[0] != 1:
        raise InputError(
            f"{sequence}: {len(features)} rows collapse to an array of shape {values.shape}, and mmsdk wants one row",
            ident=key,
            remedy="strings cannot be averaged: make them the reference or turn them into vectors",
        )
    return values
