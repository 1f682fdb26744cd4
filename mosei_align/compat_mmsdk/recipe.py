"""mmsdk's MOSEI recipe for one video at a time: align to words with averages, add the labels, align to them, unify.

What mmsdk does across videos is in the `Purge`; with it, the videos' results put together in order of their ids are
those of the whole corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from mosei_align.compat_mmsdk.align import align, losses_of
from mosei_align.compat_mmsdk.collapse import average
from mosei_align.compat_mmsdk.purge import Purge
from mosei_align.compat_mmsdk.revert import aligned_key
from mosei_align.compat_mmsdk.sequences import Entries, Loss, Rows, Sequences, Stage, StageLoss
from mosei_align.compat_mmsdk.unify import hard_unify, prefix_reason

WORDS: Final = "B1_words_average"
LABELS: Final = "B2_then_labels"
UNIFIED: Final = "B3_hard_unify"


@dataclass(frozen=True, slots=True, eq=False)
class RecipeVideo:
    """What the recipe makes of one video.

    Attributes:
        video_id: the video.
        words: after the alignment to words: one row a key, `id[row of the text]`.
        labelled: after the alignment to labels: one key a label row, `id[row of the labels]`; the labels are there too.
        unified: the keys of `labelled` that all sequences have.
        losses: what each stage did not bring out, stage by stage.
        word_rows: text, audio and video -> key of `labelled` -> for each of the entry's rows the row of the text that
            it was aligned to, counted in the text's entry as it is in the file.
    """

    video_id: str
    words: Sequences
    labelled: Sequences
    unified: Sequences
    losses: tuple[StageLoss, ...]
    word_rows: dict[str, dict[str, Rows]]


def words_then_labels(
    video_id: str, text: Entries, audio: Entries, video: Entries, labels: Entries, purge: Purge
) -> RecipeVideo:
    """Run the recipe on one video.

    Args:
        video_id: the video.
        text, audio, video, labels: its entries (`id`, `id[k]`), as they are in the files; empty where a sequence does
            not have the video. Where `purge.words` has the video, audio and video may be left unread and empty.
        purge: of the whole corpus.

    Raises:
        InputError: mmsdk would crash, see `align`.
    """
    text_name, _, _, labels_name = purge.names
    streams: Sequences = dict(zip(purge.names, (text, audio, video), strict=False))
    gone = purge.words.get(video_id)
    if gone is not None:
        words = _deleted(streams, text, gone)
    elif not text:
        words = Stage({name: {} for name in streams})
    else:
        words = align(streams, text_name, average)
    together: Sequences = {**words.sequences, labels_name: labels}
    if video_id in purge.labels and labels and all(words.sequences.values()):
        labelled = _deleted(together, labels, prefix_reason(purge.labels[video_id]))
    else:
        labelled = align(together, labels_name, measured=streams)
    unified = hard_unify(labelled.sequences)
    stages: Mapping[str, tuple[Loss, ...]] = {WORDS: words.losses, LABELS: labelled.losses, UNIFIED: unified.losses}
    return RecipeVideo(
        video_id,
        words.sequences,
        labelled.sequences,
        unified.sequences,
        tuple(StageLoss(stage, *loss) for stage, losses in stages.items() for loss in losses),
        {name: _word_rows(words.sequences[name], labelled.rows.get(name, {})) for name in streams},
    )


def _deleted(sequences: Sequences, reference: Entries, reason: str) -> Stage:
    losses = [
        loss for key, entry in reference.items() for loss in losses_of(key, len(entry.intervals), sequences, reason)
    ]
    return Stage({name: {} for name in sequences}, tuple(losses))


def _word_rows(words: Iterable[str], taken: Mapping[str, Rows]) -> dict[str, Rows]:
    """Row numbers in the keys `id[word]` -> words; each of those keys has one row."""
    parts = [aligned_key(key) for key in words]
    numbers = np.array([part[1] for part in parts if part is not None], np.int64)
    return {key: numbers[rows] for key, rows in taken.items()}
