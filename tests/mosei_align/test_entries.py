"""Entries kept as numbers: the same mapping, facts and hash as objects give, whatever the arrays are like."""

import hashlib
import math
import pickle
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.sources.arrays import ArrayInfo, ArrayInfos, is_usual
from mosei_align.sources.entries import Entries, Entry, Found
from mosei_align.sources.summary import bytes_of, bytes_of_all, features_kind, kinds_of, structure_hash, usual_dtype

# The last of the first two is equal to it in numpy's eyes, but prints differently.
DTYPES = [np.dtype("f4"), np.dtype("f4").newbyteorder("<"), *(np.dtype(k) for k in (">f4", "<f8", "S3", "S17", "i4"))]
sides = st.one_of(st.integers(0, 4), st.sampled_from([74, 2**40, 2**63 + 5]))


@st.composite
def infos(draw: st.DrawFn) -> ArrayInfo:
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=2, max_size=2)))
    if draw(st.integers(0, 3)) == 0:
        shape = tuple(draw(st.lists(sides, max_size=6)))
    problem = draw(st.sampled_from(["", "", "", "is a group, not an array"]))
    # Without a problem, an array is not larger than a file can be.
    if math.prod(shape) > 2**40:
        problem = "claims too much"
    dtype = draw(st.sampled_from([*DTYPES, None]))
    return ArrayInfo(shape, dtype, problem, draw(st.sampled_from([None, 0, 96, 2**62])))


keys = st.builds(
    lambda video, copy: video + copy, st.sampled_from("abcdé"), st.sampled_from(["", "", "[0]", "[1]", "[07]"])
)
found_keys = st.dictionaries(keys, st.tuples(st.none() | infos(), st.none() | infos(), st.booleans()), max_size=9)
Keyed = dict[str, tuple[ArrayInfo | None, ArrayInfo | None, bool]]


def walked(given_keys: Keyed) -> Entries:
    """Entries as a walk finds them: some by number, the others described."""
    plain = {k: (f, i) for k, (f, i, by_number) in given_keys.items() if by_number and is_usual(f) and is_usual(i)}
    found, half = Found(), len(plain) // 2
    numbers: dict[str, int] = {}
    for part in (list(plain)[:half], list(plain)[half:]):
        arrays = (ArrayInfos.of([plain[key][which] for key in part]) for which in (0, 1))
        first = found.prepare(*arrays)
        numbers |= {key: first + k for k, key in enumerate(part)}
    for key, (features, intervals, _) in given_keys.items():
        found.add(key, numbers.get(key, Entry(key.encode(), features, intervals)))
    return found.entries()


def expected_of(given_keys: Keyed) -> dict[str, tuple[Entry, ...]]:
    """The same, one key after the other."""
    videos: dict[str, list[tuple[int, Entry]]] = {}
    for key, (features, intervals, _) in given_keys.items():
        video, copy = key[0], key[1:]
        number = int(copy[1:-1]) if copy else -1
        videos.setdefault(video, []).append((number, Entry(key.encode(), features, intervals)))
    return {v: tuple(e for _, e in sorted(videos[v], key=lambda pair: pair[0])) for v in sorted(videos)}


def hash_of(expected: dict[str, tuple[Entry, ...]]) -> str:
    told = [
        repr((video, path, [(a.shape, str(a.dtype)) if a else None for a in arrays]))
        for video, entries in expected.items()
        for path, *arrays in entries
    ]
    return hashlib.sha256("".join(told).encode()).hexdigest()


@settings(max_examples=300)
@given(found_keys)
def test_numbers_give_the_same_entries_as_objects(given_keys: Keyed) -> None:
    entries, expected = walked(given_keys), expected_of(given_keys)
    assert repr(entries) == repr(expected)  # Types that are equal may print differently.
    assert entries == expected
    assert (len(entries), [video in entries for video in "abz"]) == (len(expected), [v in expected for v in "abz"])
    assert pickle.loads(pickle.dumps(entries)) == expected
    some = entries.of_videos(["b", "z", "a", "é"])
    assert repr(some) == repr({video: expected[video] for video in ("a", "b", "é") if video in expected})
    assert all(is_usual(info) for video in set(entries) - set(entries.others) for info in entries[video][0][1:])


@settings(max_examples=300)
@given(found_keys)
def test_facts_and_hash_are_those_of_a_loop(given_keys: Keyed) -> None:
    entries, expected = walked(given_keys), expected_of(given_keys)
    every = [entry for group in expected.values() for entry in group]
    assert structure_hash(entries) == hash_of(expected)
    assert bytes_of_all(entries) == sum(map(bytes_of, every))
    kinds = kinds_of(entries)
    known = [entry.features for entry in every if entry.features and entry.features.dtype is not None]
    assert sum(kinds.values()) == len(known)
    widths: dict[bool, Counter[Any]] = {True: Counter(), False: Counter()}
    for info in known:
        assert info.dtype is not None
        if len(info.shape) == 2 and info.shape[1]:
            widths[info.shape[0] > 0][info.shape[1], info.dtype.kind == "S"] += 1
    votes = widths[True] or widths[False]
    best = [kind for kind, count in votes.items() if count == max(votes.values())]
    assert features_kind(kinds) == (min(best) if best else (None, False))
    counts = Counter(info.dtype for info in known)
    names = sorted((-count, dtype.newbyteorder("=").name) for dtype, count in counts.items() if dtype is not None)
    assert usual_dtype(kinds) == (names[0][1] if names else "float32")


def test_an_index_takes_little_room_on_the_way_to_another_process() -> None:
    info = ArrayInfo((12_345, 74), np.dtype("f4"), "", 1 << 34)
    found = Found()
    first = found.prepare(ArrayInfos.of([info] * 1000), ArrayInfos.of([info] * 1000))
    for k in range(1000):
        found.add(f"a video's id {k}", first + k)
    entries = found.entries()
    assert len(pickle.dumps(entries)) < 150_000
    assert entries["a video's id 7"] == (Entry(b"a video's id 7", info, info),)
