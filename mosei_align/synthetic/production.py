"""From a video's number to all that is written of it: what the worker processes do first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.defects import plan_video
from mosei_align.synthetic.identity import Identity, identities
from mosei_align.synthetic.plan import Root, VideoPlan, interval_dtypes
from mosei_align.synthetic.planting import broken, entries
from mosei_align.synthetic.randomness import VideoRandom, video_random
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.rows import Array, Rows, all_rows
from mosei_align.synthetic.signal import frame_sources
from mosei_align.synthetic.truth import Account, account
from mosei_align.synthetic.vocabulary import Vocabulary, choose_tokens, make_vocabulary


@dataclass(frozen=True, slots=True)
class Planned:
    """Which videos to plan: those of the recipe with an index from `start` up to `stop`."""

    recipe: Recipe
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of one file; None for an array that is missing."""

    root: Root
    key: str
    features: Array | Rows | None
    intervals: Array | Rows | None


@dataclass(frozen=True, slots=True)
class Product:
    """All that is written of one video, its large arrays as descriptions.

    Attributes:
        identity: who it is.
        labelled: it is in the label file.
        entries: in the order they are written in.
        account: what `truth.json` says.
        defects: the kinds that were planted.
    """

    identity: Identity
    labelled: bool
    entries: tuple[FileEntry, ...]
    account: Account
    defects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorSource:
    """(T, D) the word vectors of T tokens of the vocabulary."""

    width: int
    tokens: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """T, D."""
        return len(self.tokens), self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def make(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """(stop - start, D) the vectors from `start` up to `stop`."""
        return _vocabulary(self.width).vectors[self.tokens[start:stop]]


def produce(planned: Planned) -> list[Product]:
    """Plan some videos, in order."""
    recipe = planned.recipe
    found = []
    for identity in identities(recipe, planned.start, planned.stop):
        random = video_random(recipe.seed, identity.index)
        plan = plan_video(recipe, identity, random)
        kinds = tuple(defect.kind for defect in plan.defects)
        found.append(Product(identity, plan.labelled, tuple(_entries(recipe, plan, random)), account(plan), kinds))
    return found


def _entries(recipe: Recipe, plan: VideoPlan, random: VideoRandom) -> Iterator[FileEntry]:
    whole = _whole_entries(recipe, plan, random.arrays)
    for root, key, features, intervals in whole:
        entry = broken(key, features, intervals, plan.troubles.get(root))
        if entry is not None:
            yield FileEntry(root, *entry)


def _whole_entries(
    recipe: Recipe, plan: VideoPlan, rng: np.random.Generator
) -> Iterator[tuple[Root, str, Array | Rows, Array | Rows]]:
    video_id, dtypes = plan.identity.video_id, interval_dtypes(recipe.seed)
    vocabulary = _vocabulary(recipe.text_width)
    tokens = choose_tokens(recipe, vocabulary, plan.timeline, plan.annotation, rng)
    spelled = vocabulary.spellings[tokens]
    # As in the official file, the bytes are as wide as the video's longest word.
    spelled = spelled.astype(f"S{np.char.str_len(spelled).max(initial=1)}")
    yield Root.WORDS, video_id, spelled[:, None], plan.timeline.tokens
    yield Root.VECTORS, video_id, all_rows(VectorSource(recipe.text_width, tokens)), plan.timeline.tokens
    for root in (Root.AUDIO, Root.VIDEO):
        if not plan.missing(root):
            frames, times = frame_sources(recipe, root, plan, dtypes[root], rng)
            stream = plan.stream(root)
            for key, some_frames, some_times in entries(video_id, all_rows(frames), all_rows(times), stream, rng):
                yield root, key, some_frames, some_times
    if plan.labelled:
        values = plan.label_values[plan.label_order]
        if plan.extra_label_row:
            values = np.concatenate([values, values[-1:]])
        yield Root.LABELS, video_id, values, plan.label_times[plan.label_order].astype(dtypes[Root.LABELS])


@cache
def _vocabulary(width: int) -> Vocabulary:
    return make_vocabulary(width)
