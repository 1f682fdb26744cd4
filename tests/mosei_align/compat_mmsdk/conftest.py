"""What these tests share: mmsdk's own results, small entries, and mmsdk's semantics written down slowly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from mosei_align.compat_mmsdk import Entry, Sequences, read_sequences

Array = npt.NDArray[Any]
Row = tuple[str, str, str, bytes, str, bytes, tuple[int, ...]]
NAMES = ("glove_vectors", "COVAREP", "FACET 4.2")
FILES = {"glove_vectors": "glove_vectors", "COVAREP": "COVAREP", "FACET 4.2": "FACET_42"}


class Golden:
    """The golden input, and what mmsdk made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.input = folder, folder / "input"
        self.dropped = json.loads((folder / "expected" / "dropped.json").read_text())
        self.folds = json.loads((self.input / "folds.json").read_text())
        self.three = read_sequences([self.input / f"{FILES[name]}.csd" for name in NAMES])
        self.labels = read_sequences([self.input / "labels.csd"])["All Labels"]

    def stage(self, name: str) -> list[Row]:
        """The entries of a stage, in mmsdk's order."""
        rows = pq.read_table(self.folder / "expected" / f"{name}.parquet").to_pylist()
        places = [(row["sequence"], row["position"]) for row in rows]
        order = list(dict.fromkeys(row["sequence"] for row in rows))
        assert places == sorted(places, key=lambda place: (order.index(place[0]), place[1]))
        return [
            (
                row["sequence"],
                row["key"],
                row["features_dtype"],
                row["features"],
                row["intervals_dtype"],
                row["intervals"],
                (row["rows"], row["width"]),
            )
            for row in rows
        ]

    def losses(self, *stages: str) -> list[tuple[str, str, str, str]]:
        """What was dropped in these stages."""
        return [
            (row["stage"], row["sequence"], row["key"], row["reason"]) for row in self.dropped if row["stage"] in stages
        ]


def flattened(sequences: Sequences) -> list[Row]:
    """All entries, with every byte."""
    return [
        (
            name,
            key,
            entry.features.dtype.str,
            entry.features.tobytes(),
            entry.intervals.dtype.str,
            entry.intervals.tobytes(),
            entry.features.shape,
        )
        for name, entries in sequences.items()
        for key, entry in entries.items()
    ]


class Slow:
    """mmsdk's alignment, row by row."""

    @staticmethod
    def kept(intervals: Array, reference: Array) -> list[tuple[int, Array]]:
        """The rows that overlap one reference row, and how they are clipped."""
        found = []
        for k, (start, end) in enumerate(intervals):
            if -start - (-reference[1]) > -10e-6 and end - reference[0] > -10e-6:
                clipped = np.array([np.maximum(start, reference[0]), np.minimum(end, reference[1])])
                if abs(clipped[0] - clipped[1]) > 10e-6:
                    found.append((k, clipped))
        return found

    @staticmethod
    def mean(features: Array) -> Array:
        """numpy's mean over the first axis."""
        if features.shape[1] == 1:
            return np.average(features, axis=0)
        total = np.zeros(features.shape[1], features.dtype)
        for row in features:
            total += row
        return total / np.array(len(features), features.dtype)

    @staticmethod
    def unified(sequences: Sequences) -> Sequences:
        """Without what mmsdk purges."""
        videos = [{key.split("[")[0] for key in entries} for entries in sequences.values()]
        violators = set.union(*videos) - set.intersection(*videos)
        return {
            name: {key: entry for key, entry in entries.items() if not any(key.startswith(v) for v in violators)}
            for name, entries in sequences.items()
        }

    @classmethod
    def align(cls, sequences: Sequences, reference: str, collapse: bool = False) -> Sequences:
        """One alignment; the reference has no entry `id[k]`."""
        unified = cls.unified(sequences)
        aligned: Sequences = {name: {} for name in sequences}
        for video, entry in unified[reference].items():
            for k, target in enumerate(entry.intervals):
                if abs(target[0] - target[1]) < 10e-6:
                    continue
                for name, entries in unified.items():
                    if name == reference:
                        features, intervals = entry.features[k : k + 1], entry.intervals[k : k + 1]
                    else:
                        features, intervals = cls._given(entries, video, target)
                    if not len(intervals):
                        continue
                    if collapse:
                        features = cls.mean(features)[None]
                        intervals = np.array([[intervals.min(), intervals.max()]])
                    aligned[name][f"{video}[{k}]"] = Entry(features, intervals)
        return aligned

    @classmethod
    def _given(cls, entries: dict[str, Entry], video: str, target: Array) -> tuple[Array, Array]:
        parts = [entry for key, entry in entries.items() if key.split("[")[0] == video]
        features = np.concatenate([part.features for part in parts])
        intervals = np.concatenate([part.intervals for part in parts])
        order = sorted(range(len(intervals)), key=lambda k: intervals[k, 0])
        features, intervals = features[order], intervals[order]
        kept = cls.kept(intervals, target)
        return features[[k for k, _ in kept]], np.array([clipped for _, clipped in kept]).reshape(-1, 2)

    @classmethod
    def recipe(cls, streams: Sequences, labels: dict[str, Entry]) -> tuple[Sequences, Sequences, Sequences]:
        """B1, B2, B3."""
        words = cls.align(streams, next(iter(streams)), collapse=True)
        labelled = cls.align({**words, "labels": labels}, "labels")
        common = set.intersection(*[set(entries) for entries in labelled.values()])
        unified = {
            name: {key: entry for key, entry in entries.items() if key in common} for name, entries in labelled.items()
        }
        return words, labelled, unified


@pytest.fixture(scope="session")
def golden(golden_input: Path) -> Golden:
    """See `Golden`; skips where there is none."""
    return Golden(golden_input.parent)


@pytest.fixture(scope="session")
def flat() -> Callable[[Sequences], list[Row]]:
    """See `flattened`."""
    return flattened


@pytest.fixture(scope="session")
def slow() -> type[Slow]:
    """See `Slow`."""
    return Slow
