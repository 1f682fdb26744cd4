"""What mmsdk deletes across videos in its MOSEI recipe, planned from ids before a single array is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from mosei_align.compat_mmsdk.align import check_reference
from mosei_align.compat_mmsdk.gather import joined_intervals
from mosei_align.compat_mmsdk.overlap import overlaps, too_short
from mosei_align.compat_mmsdk.sequences import Array, video_of
from mosei_align.compat_mmsdk.unify import proper_prefixes, purged


@dataclass(frozen=True, slots=True)
class Purge:
    """What one video must know of all the others.

    Attributes:
        names: the sequences: text, audio, video, labels.
        words: video -> why the alignment to words deletes it.
        labels: video -> the shortest id that begins it and that the alignment to labels deletes: so it goes too.
    """

    names: tuple[str, str, str, str]
    words: dict[str, str]
    labels: dict[str, str]


def plan_purge(keys: Mapping[str, Iterable[str]], survivors: Callable[[str], Set[str]]) -> Purge:
    """Find out what mmsdk deletes from a corpus by a prefix.

    Whether the alignment to labels deletes an id depends on what the alignment to words left of it, which only its
    intervals tell. That matters to other videos only where they begin with this id; only for such ids, which are few,
    `survivors` is called.

    Args:
        keys: sequence -> its keys or video ids; text, audio, video and labels, in this order.
        survivors: video -> the sequences that have a key of it after the alignment to words, see
            `surviving_sequences`. Called for videos that all three sequences have and that are not deleted before.
    """
    text, audio, video, labels = keys
    ids = {name: {video_of(key) for key in found} for name, found in keys.items()}
    streams = {name: ids[name] for name in (text, audio, video)}
    words = purged(streams)
    everything = set[str]().union(*streams.values())
    violators: dict[str, bool] = {}

    def is_deleted(shorter: str) -> bool:
        if shorter not in violators:
            labelled = shorter in ids[labels]
            left = survivors(shorter) if shorter in everything and shorter not in words else frozenset[str]()
            shared = labelled and len(left) == len(streams)
            violators[shorter] = bool(labelled or left) and not shared
        return violators[shorter]

    prefixes = proper_prefixes(everything | ids[labels])
    candidates = ids[labels].intersection(*streams.values()) - words.keys()
    concerned = {longer: shorter for longer, shorter in prefixes.items() if longer in candidates}
    found = {longer: next(filter(is_deleted, shorter), None) for longer, shorter in concerned.items()}
    deleted = {longer: shorter for longer, shorter in found.items() if shorter is not None}
    return Purge((text, audio, video, labels), words, deleted)


def surviving_sequences(intervals: Mapping[str, Mapping[str, Array]], reference: str) -> set[str]:
    """Which sequences have a key of a video after an alignment, from intervals alone.

    Args:
        intervals: sequence -> key -> (N, 2), of one video that every sequence has.
        reference: the sequence it is aligned to.

    Raises:
        InputError: mmsdk would crash: an entry of the reference is called `id[k]`.
    """
    found: set[str] = set()
    for key, target in intervals[reference].items():
        check_reference(key, target, reference)
        if too_short(target).all():
            continue
        found.add(reference)
        for name, others in intervals.items():
            if name not in found and len(overlaps(joined_intervals(others), target).rows):
                found.add(name)
    return found
