"""mmsdk's `get_tensors`: aligned sequences, padded or cut to one length.

Legend: B = keys of a fold, L = `seq_len`, N = rows of an entry, D = columns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mosei_align.compat_mmsdk.sequences import Array, Loss, Sequences, video_of
from mosei_align.compat_mmsdk.unify import hard_unify
from mosei_schemas.errors import InputError

NO_FOLD = "doesn't belong to any fold"


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """What `get_tensors` made.

    Attributes:
        folds: for each fold, sequence -> (B, L, D), or (B, N, D) for a `non_sequences` one; (0,) where no key is.
        keys: for each fold, the keys along B.
        losses: what `hard_unify` dropped, then the keys of no fold.
    """

    folds: tuple[dict[str, Array], ...]
    keys: tuple[tuple[str, ...], ...]
    losses: tuple[Loss, ...]


def get_tensors(
    sequences: Sequences,
    seq_len: int,
    folds: Sequence[Collection[str]] | None = None,
    non_sequences: Collection[str] = (),
    direction: bool = False,
) -> Tensors:
    """Drop what not every sequence has, and stack the rest.

    The padding is float64 zeros, so what is padded becomes float64. Padding on the left keeps the last L rows of what
    is too long, padding on the right the first L.

    Args:
        sequences: aligned ones.
        seq_len: L.
        folds: video ids of each fold; a video in two is put into the first. None for one fold of all videos.
        non_sequences: names of those that are stacked as they are, the labels.
        direction: True pads on the right, False on the left.

    Raises:
        InputError: mmsdk would crash: no sequence, or entries that cannot be stacked.
    """
    if not sequences:
        raise InputError("no sequence to make tensors of", remedy="align some first")
    if folds is None:
        folds = [{video_of(key) for key in next(iter(sequences.values()))}]
    unified = hard_unify(sequences)
    keys: list[list[str]] = [[] for _ in folds]
    lost: list[str] = []
    for key in next(iter(unified.sequences.values())):
        fold = next((k for k, videos in enumerate(folds) if video_of(key) in videos), None)
        (lost if fold is None else keys[fold]).append(key)
    stacked = tuple(
        {
            name: _stack(
                [entries[key].features for key in chosen], None if name in non_sequences else seq_len, direction
            )
            for name, entries in unified.sequences.items()
        }
        for chosen in keys
    )
    losses = (*unified.losses, *(Loss(name, key, NO_FOLD) for key in lost for name in sequences))
    return Tensors(stacked, tuple(tuple(chosen) for chosen in keys), losses)


def _stack(arrays: list[Array], length: int | None, direction: bool) -> Array:
    padded = arrays if length is None else [_padded(array, length, direction) for array in arrays]
    try:
        return np.array(padded)
    except ValueError as error:
        shapes = ", ".join(sorted({str(array.shape) for array in padded}))
        raise InputError(
            f"entries of shapes {shapes} cannot be stacked",
            remedy="mmsdk crashes on this: take them out, or leave the sequence out of non_sequences",
        ) from error


def _padded(array: Array, length: int, direction: bool) -> Array:
    """(N, D) -> (L, D), by way of mmsdk's own concatenation for its types."""
    padding = np.zeros((length, *array.shape[1:]))
    if direction:
        return np.concatenate([array, padding])[:length]
    return np.concatenate([padding, array])[-length:]
