"""What the annotators said of each segment, and which modality gives it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.identity import NONE
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.labels import EMOTIONS, MOSEI_LABELS

_SENTIMENT_BY_CLASS: Final = np.array([1.1, -0.7, -0.9, 0.3, -1.1, -0.4, 0.0])
_SENTIMENT_SPREAD: Final = 0.7
_STRONGEST_THIRDS: Final = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9])
_STRONGEST_ODDS: Final = np.array([0.16, 0.26, 0.26, 0.12, 0.08, 0.06, 0.03, 0.02, 0.01])
_SECOND_EMOTION: Final = 0.25
_LAST: Final = len(EMOTIONS) - 1


@dataclass(frozen=True, slots=True)
class Annotation:
    """The labels of a video's S segments, in order of time.

    Attributes:
        classes: (S,) int64 index into `EMOTIONS`, or `NONE`.
        tied: (S,) bool; another emotion is as strong. It comes later in `EMOTIONS`, so that the class is the first of
            the two.
        decided_by: (S,) int64 index into `MODALITIES`: what carries the class strongly.
        values: (S, 7) float32 in the order of `MOSEI_LABELS`, all multiples of a third.
    """

    classes: npt.NDArray[np.int64]
    tied: npt.NDArray[np.bool_]
    decided_by: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


def annotate(recipe: Recipe, prior: npt.NDArray[np.float64], count: int, rng: np.random.Generator) -> Annotation:
    """Draw the annotation of `count` segments of a speaker with the class prior `prior` (7,)."""
    classes = rng.choice(len(prior), count, p=prior)
    # The last emotion has none after it to be tied with, and NONE nothing at all; the others make up for NONE.
    tied = (classes < _LAST) & (rng.random(count) < recipe.tied_share / (1 - recipe.none_share))
    decided_by = rng.choice(3, count, p=recipe.signal_shares)
    values = np.zeros((count, len(MOSEI_LABELS)), np.float32)
    values[:, 0] = _sentiment(classes, rng)
    values[:, 1:] = _intensities(classes, tied, rng)
    return Annotation(classes, tied, decided_by, values)


def _sentiment(classes: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    score = _SENTIMENT_BY_CLASS[classes] + _SENTIMENT_SPREAD * rng.standard_normal(len(classes))
    return np.clip(np.round(3 * score), -9, 9) / 3


def _intensities(
    classes: npt.NDArray[np.int64], tied: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(S, 6) intensities in [0, 3]; the class is the strongest, and only where tied does another reach it."""
    count = len(classes)
    strongest = rng.choice(_STRONGEST_THIRDS, count, p=_STRONGEST_ODDS)
    others = rng.integers(1, 9, (count, len(EMOTIONS))) % np.maximum(strongest, 1)[:, None]
    thirds = np.where(rng.random(others.shape) < _SECOND_EMOTION, others, 0)
    partner = rng.integers(np.minimum(classes, _LAST - 1) + 1, len(EMOTIONS))
    rows = np.arange(count)
    thirds[rows[tied], partner[tied]] = strongest[tied]
    felt = classes != NONE
    thirds[rows[felt], classes[felt]] = strongest[felt]
    thirds[~felt] = 0
    return thirds / 3
