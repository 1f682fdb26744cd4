"""Writing a synthetic corpus: five `.csd` files, folds, speakers and the truth, one video at a time."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mosei_align.sources.csd_writer import CsdWriter
from mosei_align.synthetic.defects import plan_video
from mosei_align.synthetic.identity import identities, make_speaker
from mosei_align.synthetic.plan import Root, VideoPlan, interval_dtypes
from mosei_align.synthetic.planting import Array, broken, damage, entries
from mosei_align.synthetic.randomness import VideoRandom, video_random
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.signal import frame_rate, frame_times, make_frames, make_law
from mosei_align.synthetic.truth import SegmentTruth, TruthFile
from mosei_align.synthetic.vocabulary import choose_tokens, make_vocabulary
from mosei_schemas.errors import OutputError
from mosei_schemas.labels import MOSEI_LABELS
from mosei_schemas.names import PARTS
from mosei_schemas.publish import new_directory, unwritable

FILES: Final[Mapping[Root, str]] = {
    Root.WORDS: "CMU_MOSEI_TimestampedWords.csd",
    Root.VECTORS: "CMU_MOSEI_TimestampedWordVectors.csd",
    Root.AUDIO: "CMU_MOSEI_COVAREP.csd",
    Root.VIDEO: "CMU_MOSEI_VisualFacet42.csd",
    Root.LABELS: "CMU_MOSEI_Labels.csd",
}
FOLDS_FILE: Final = "folds.json"
SPEAKERS_FILE: Final = "speakers.csv"
TRUTH_FILE: Final = "truth.json"
README_FILE: Final = "README.txt"


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """What a corpus came to.

    Attributes:
        path: the folder.
        videos, labelled_videos, segments: how many there are.
        strict, masked: how many segments are kept (key None) or dropped, by reason, under each policy.
        defects: how many defects of each kind were planted.
        size_bytes: all files together.
    """

    path: Path
    videos: int
    labelled_videos: int
    segments: int
    strict: Mapping[str | None, int]
    masked: Mapping[str | None, int]
    defects: Mapping[str, int]
    size_bytes: int


def write_corpus(out: Path, recipe: Recipe, progress: Callable[[int], None] | None = None) -> CorpusSummary:
    """Write a corpus into the folder `out`, which must be new or empty.

    One video is in memory at a time. The folder appears when all of it is written.

    Args:
        out: the folder.
        recipe: what to make; equal recipes give equal bytes.
        progress: called with the number of videos written so far, after each.

    Raises:
        OutputError: `out` holds something already, or cannot be written.
    """
    _refuse_occupied(out)
    with new_directory(out.absolute()) as folder:
        tally = _write_files(folder, recipe, progress)
    size = sum(path.stat().st_size for path in out.iterdir())
    return CorpusSummary(
        out,
        recipe.videos,
        tally.labelled,
        sum(tally.strict.values()),
        dict(tally.strict),
        dict(tally.masked),
        dict(tally.defects),
        size,
    )


class _Tally:
    """Running counts for the summary."""

    def __init__(self) -> None:
        self.labelled = 0
        self.strict: Counter[str | None] = Counter()
        self.masked: Counter[str | None] = Counter()
        self.defects: Counter[str] = Counter()

    def add(self, plan: VideoPlan, truths: list[SegmentTruth]) -> None:
        self.labelled += plan.labelled
        self.strict.update(truth.strict for truth in truths)
        self.masked.update(truth.masked for truth in truths)
        self.defects.update(defect.kind for defect in plan.defects)


def _write_files(folder: Path, recipe: Recipe, progress: Callable[[int], None] | None) -> _Tally:
    tally = _Tally()
    folds: dict[str, list[str]] = {part: [] for part in PARTS}
    with ExitStack() as stack:
        arrays = _ArrayFiles(folder, recipe, stack)
        truth = stack.enter_context(TruthFile(folder / TRUTH_FILE, recipe))
        speakers = csv.writer(
            stack.enter_context((folder / SPEAKERS_FILE).open("w", encoding="utf-8", newline="")), lineterminator="\n"
        )
        speakers.writerow(["video_id", "speaker_id"])
        for done, identity in enumerate(identities(recipe), 1):
            random = video_random(recipe.seed, identity.index)
            plan = plan_video(recipe, identity, random)
            arrays.add(plan, random)
            tally.add(plan, truth.add(plan))
            speakers.writerow([identity.video_id, identity.speaker_id])
            folds[identity.part].append(identity.video_id)
            if progress is not None:
                progress(done)
    (folder / FOLDS_FILE).write_text(json.dumps(folds, indent=1) + "\n", encoding="utf-8")
    (folder / README_FILE).write_text(_readme(recipe), encoding="utf-8")
    return tally


class _ArrayFiles:
    """The five `.csd` files, open for writing."""

    def __init__(self, folder: Path, recipe: Recipe, stack: ExitStack) -> None:
        self._recipe = recipe
        self._vocabulary = make_vocabulary(recipe.text_width)
        self._laws = {
            Root.AUDIO: make_law(Root.AUDIO, recipe.audio_width),
            Root.VIDEO: make_law(Root.VIDEO, recipe.video_width),
        }
        self._dtypes = interval_dtypes(recipe.seed)
        self._writers = {
            root: stack.enter_context(CsdWriter(folder / name, root, metadata=_metadata(recipe, root)))
            for root, name in FILES.items()
        }

    def add(self, plan: VideoPlan, random: VideoRandom) -> None:
        """Make the video's arrays and write them."""
        self._add_words(plan, random.arrays)
        self._add_frames(Root.AUDIO, plan, random.arrays)
        self._add_frames(Root.VIDEO, plan, random.arrays)
        self._add_labels(plan)

    def _add_words(self, plan: VideoPlan, rng: np.random.Generator) -> None:
        tokens = choose_tokens(self._recipe, self._vocabulary, plan.timeline, plan.annotation, rng)
        spelled = self._vocabulary.spellings[tokens]
        # As in the official file, the bytes are as wide as the video's longest word.
        spelled = spelled.astype(f"S{np.char.str_len(spelled).max(initial=1)}")
        self._write(Root.WORDS, plan, plan.identity.video_id, spelled[:, None], plan.timeline.tokens)
        vectors = self._vocabulary.vectors[tokens]
        self._write(Root.VECTORS, plan, plan.identity.video_id, vectors, plan.timeline.tokens)

    def _add_frames(self, root: Root, plan: VideoPlan, rng: np.random.Generator) -> None:
        if plan.missing(root):
            return
        stream, rate_hz = plan.stream(root), frame_rate(self._recipe, root)
        speaker = make_speaker(self._recipe, plan.identity.speaker)
        offset = speaker.audio if root is Root.AUDIO else speaker.video
        frames = make_frames(self._recipe, self._laws[root], root, plan, offset, rng)
        times = frame_times(len(frames), rate_hz, self._dtypes[root])
        damage(frames, times, stream, rate_hz, rng, faces=root is Root.VIDEO)
        for key, some_frames, some_times in entries(plan.identity.video_id, frames, times, stream, rng):
            self._write(root, plan, key, some_frames, some_times)

    def _add_labels(self, plan: VideoPlan) -> None:
        if not plan.labelled:
            return
        values = plan.label_values[plan.label_order]
        if plan.extra_label_row:
            values = np.concatenate([values, values[-1:]])
        times = plan.label_times[plan.label_order].astype(self._dtypes[Root.LABELS])
        self._write(Root.LABELS, plan, plan.identity.video_id, values, times)

    def _write(self, root: Root, plan: VideoPlan, key: str, features: Array, intervals: Array) -> None:
        entry = broken(key, features, intervals, plan.troubles.get(root))
        if entry is not None:
            self._writers[root].add(*entry)


def _metadata(recipe: Recipe, root: Root) -> dict[str, Any]:
    description = f"synthetic {root}, seed {recipe.seed}; made by mosei-align sample, no human data"
    values: dict[str, Any] = {
        "computational sequence description": description,
        "dataset name": "synthetic CMU-MOSEI",
    }
    names = {Root.LABELS: list(MOSEI_LABELS), Root.WORDS: ["word"]}
    return values | ({"dimension names": names[root]} if root in names else {})


def _readme(recipe: Recipe) -> str:
    return (
        "This corpus is synthetic: no person is in it, and results on it say nothing about CMU-MOSEI.\n"
        f"Made by: mosei-align sample OUT --videos {recipe.videos} --seed {recipe.seed}{' --clean' * recipe.clean}; "
        "truth.json tells what was planted and what must become of every segment.\n"
        f"Seed {recipe.seed}; the same version with the same options writes the same bytes.\n"
    )


def _refuse_occupied(out: Path) -> None:
    try:
        occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise unwritable(out, error) from error
    if occupied:
        raise OutputError("there is something here already", path=out, remedy="choose a new or an empty folder")
