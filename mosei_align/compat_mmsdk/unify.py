"""How mmsdk makes the sequences agree: by video before an alignment (`purged`), by key after it (`hard_unify`).

mmsdk deletes an id that some sequence lacks with every key that *begins* with it, so losing 25522 deletes 255224 too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from mosei_align.compat_mmsdk.sequences import Loss, Sequences, Stage

_PREFIX: Final = "video: purged because violator id {!r} is a prefix of it (shared by every sequence)"


def purged(videos: Mapping[str, Collection[str]]) -> dict[str, str]:
    """The videos that mmsdk deletes before it aligns.

    Args:
        videos: sequence -> ids of its videos, in the sequences' order.

    Returns:
        id -> reason.
    """
    absent = {video: absent_reason(lacking) for video, lacking in lacking_sequences(videos).items()}
    prefixes = proper_prefixes(set[str]().union(*videos.values()))
    found = dict(absent)
    for video, shorter in prefixes.items():
        violator = next((prefix for prefix in shorter if prefix in absent), None)
        if violator is not None and video not in absent:
            found[video] = prefix_reason(violator)
    return found


def lacking_sequences(videos: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The videos that are not in every sequence: id -> the sequences that lack it."""
    sets = {name: set(found) for name, found in videos.items()}
    every = set[str]().union(*sets.values())
    shared = every.intersection(*sets.values())
    return {video: [name for name, ids in sets.items() if video not in ids] for video in every - shared}


def absent_reason(sequences: Iterable[str]) -> str:
    """Why a video is deleted that these sequences lack."""
    return f"video: id absent from {', '.join(sequences)}"


def prefix_reason(violator: str) -> str:
    """Why a video is deleted that every sequence has."""
    return _PREFIX.format(violator)


def proper_prefixes(ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each id that begins with another one: those others, the shortest first."""
    found: dict[str, tuple[str, ...]] = {}
    chain: list[str] = []
    for video in sorted(set(ids)):
        while chain and not video.startswith(chain[-1]):
            chain.pop()
        if chain:
            found[video] = tuple(chain)
        chain.append(video)
    return found


def hard_unify(sequences: Sequences) -> Stage:
    """Keep the keys that every sequence has."""
    common = set[str]().union(*sequences.values()).intersection(*sequences.values())
    kept: Sequences = {name: {} for name in sequences}
    losses: list[Loss] = []
    for name, entries in sequences.items():
        for key, entry in entries.items():
            if key in common:
                kept[name][key] = entry
            else:
                lacking = ", ".join(other for other, found in sequences.items() if key not in found)
                losses.append(Loss(name, key, f"hard_unify: key absent from {lacking}"))
    return Stage(kept, tuple(losses))
