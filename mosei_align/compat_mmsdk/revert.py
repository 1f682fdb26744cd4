"""mmsdk's `revert`: the keys `id[k]` of a video become one entry `id` again."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from mosei_align.compat_mmsdk.sequences import Entry, Sequences, Stage
from mosei_align.compat_mmsdk.unify import hard_unify
from mosei_schemas.errors import InputError

_ALIGNED: Final = re.compile(r"([^\[]*)\[(0|[1-9]\d{0,17})\]")


def aligned_key(key: str) -> tuple[str, int] | None:
    """The video and the number in a key `id[k]`; None for any other key."""
    match = _ALIGNED.fullmatch(key)
    return (match[1], int(match[2])) if match else None


def revert(sequences: Sequences) -> Stage:
    """Drop what not every sequence has, and put the entries of each video together in the order of their numbers.

    Returns:
        One entry a video, in the order in which the first sequence names them; the losses are those of `hard_unify`.

    Raises:
        InputError: mmsdk would crash: no sequence, a key that is not `id[k]`, entries of one video that do not fit
            together.
    """
    if not sequences:
        raise InputError("no sequence to revert", remedy="align some first")
    unified = hard_unify(sequences)
    numbers: dict[str, list[int]] = {}
    for key in next(iter(unified.sequences.values())):
        parts = aligned_key(key)
        if parts is None:
            raise InputError("only aligned keys can be reverted, id[k]", ident=key, remedy="align first")
        numbers.setdefault(parts[0], []).append(parts[1])
    reverted: Sequences = {name: {} for name in sequences}
    for video, found in numbers.items():
        for name, entries in unified.sequences.items():
            parts_of = [entries[f"{video}[{k}]"] for k in sorted(found)]
            reverted[name][video] = _concatenated(parts_of, name, video)
    return Stage(reverted, unified.losses)


def _concatenated(parts: list[Entry], name: str, video: str) -> Entry:
    try:
        return Entry(
            np.concatenate([part.features for part in parts]), np.concatenate([part.intervals for part in parts])
        )
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name}: the video's entries do not fit together",
            ident=video,
            remedy="mmsdk crashes on this: take those of another width out",
        ) from error
