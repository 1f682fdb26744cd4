"""Which defects a video gets, and those of whole sequences, words and labels: a planner makes a plan a worse one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from mosei_align.synthetic import stream_defects
from mosei_align.synthetic.identity import Identity
from mosei_align.synthetic.plan import Root, Trouble, VideoPlan, sound_plan
from mosei_align.synthetic.randomness import Purpose, VideoRandom, side_random
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.timeline import hush
from mosei_schemas.names import Reason, State

Planner = Callable[[VideoPlan, np.random.Generator], VideoPlan | None]
"""Plants one kind of defect; None where the video has no place for it whose outcome would be beyond doubt."""

_FEATURES: Final = (Root.VECTORS, Root.AUDIO, Root.VIDEO)
_SILENT_MARGIN_S: Final = 0.05
_ENOUGH_SEGMENTS: Final = 3


def plan_video(recipe: Recipe, identity: Identity, random: VideoRandom) -> VideoPlan:
    """Plan one video with its defects: all that is decided before its arrays are made."""
    kinds = _draw_kinds(recipe, identity.index, random.defects)
    promised = identity.index < len(_promised(recipe))
    plan = sound_plan(
        recipe,
        identity,
        random,
        at_least=_ENOUGH_SEGMENTS if promised else 1,
        from_start=True if promised and "negative_start" in kinds else None,
    )
    if identity.prefix is not None:
        plan = plan.recorded("prefix_id", "all", prefix=identity.prefix)
    for kind, planner in PLANNERS.items():
        if kind in kinds:
            plan = planner(plan, random.defects) or plan
    return plan


@lru_cache(maxsize=8)
def _promised(recipe: Recipe) -> tuple[str, ...]:
    """One kind for each of the first videos, in an order that depends on the seed, so that small corpora have all."""
    if recipe.clean:
        return ()
    kinds = [kind for kind in PLANNERS if kind not in stream_defects.NOISE and getattr(recipe.rates, kind) > 0]
    return tuple(side_random(recipe.seed, Purpose.DEFECT_ORDER).permutation(kinds).tolist())


def _draw_kinds(recipe: Recipe, index: int, rng: np.random.Generator) -> set[str]:
    if recipe.clean:
        return set()
    promised = _promised(recipe)
    if index < len(promised):
        return {promised[index], *(kind for kind in stream_defects.NOISE if getattr(recipe.rates, kind) > 0)}
    return {kind for kind in PLANNERS if rng.random() < getattr(recipe.rates, kind)}


def _absent(*roots: Root) -> Planner:
    def plant(plan: VideoPlan, _rng: np.random.Generator) -> VideoPlan | None:
        if any(root in plan.troubles for root in roots):
            return None
        for root in roots:
            plan = _troubled(plan, root, Trouble(State.ID_MISSING)).recorded("id_missing", root)
        return plan

    return plant


def _broken(kind: str, state: State, arrays: tuple[str, ...]) -> Planner:
    """A defect of one sequence's arrays, at one of `arrays`."""

    def plant(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
        sound = [root for root in _FEATURES if root not in plan.troubles]
        if not sound:
            return None
        root = sound[int(rng.integers(len(sound)))]
        array = arrays[int(rng.integers(len(arrays)))]
        return _troubled(plan, root, Trouble(state, array)).recorded(kind, root, array=array)

    return plant


def _troubled(plan: VideoPlan, root: Root, trouble: Trouble) -> VideoPlan:
    return replace(plan, troubles={**plan.troubles, root: trouble})


def _unlabelled(plan: VideoPlan, _rng: np.random.Generator) -> VideoPlan | None:
    return replace(plan, labelled=False).recorded("id_missing", Root.LABELS)


def _silent_segment(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    """Turn every word that touches one segment into a pause; its neighbours keep two words or more."""
    for segment in rng.permutation(plan.sound).tolist():
        start_s, end_s = plan.label_times[segment]
        timeline = hush(plan.timeline, start_s - _SILENT_MARGIN_S, end_s + _SILENT_MARGIN_S)
        quiet = replace(plan, timeline=timeline)
        others = (quiet.words_of(i) for i in plan.sound if i != segment)
        if timeline.spoken.any() and (not plan.words_known or all(len(words) >= 2 for words in others)):
            return quiet.recorded("no_words", Root.WORDS, row=plan.row_of(segment))
    return None


def _negative_start(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    if 0 not in plan.unmoved or plan.label_times[0, 0] > 0.35:
        return None
    # Multiples of 1/4096 s are exact in float32 as in float64.
    start_s = -round(float(rng.uniform(20, 1_950))) / 4_096
    return _with_times(plan, 0, start_s, float(plan.label_times[0, 1])).recorded(
        "negative_start", Root.LABELS, row=plan.row_of(0)
    )


def _instant(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    """A label of no length. It is an instant like any other, so it is put well inside a word."""
    for segment in rng.permutation(plan.unmoved).tolist():
        words = plan.words_of(segment)
        if len(words) > 2 and plan.words_known:
            start_s, end_s = words[len(words) // 2]
            at_s = float(np.float32(start_s + (end_s - start_s) / 4))
            return _with_times(plan, segment, at_s, at_s).recorded(
                "zero_length_label", Root.LABELS, row=plan.row_of(segment)
            )
    return None


def _inverted(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    if not plan.unmoved:
        return None
    segment = int(rng.choice(plan.unmoved))
    end_s, start_s = plan.label_times[segment].tolist()
    plan = _with_times(plan, segment, start_s, end_s).recorded("inverted_label", Root.LABELS, row=plan.row_of(segment))
    return _dropped(plan, [segment], Reason.LABEL_TIME)


def _nan_label(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    if not plan.sound:
        return None
    segment, column = int(rng.choice(plan.sound)), int(rng.integers(plan.label_values.shape[1]))
    values = plan.label_values.copy()
    values[segment, column] = np.nan
    plan = replace(plan, label_values=values).recorded(
        "nan_label", Root.LABELS, row=plan.row_of(segment), column=column
    )
    return _dropped(plan, [segment], Reason.LABEL_VALUE)


def _label_mismatch(plan: VideoPlan, _rng: np.random.Generator) -> VideoPlan | None:
    plan = replace(plan, extra_label_row=True).recorded("length_mismatch", Root.LABELS, array="intervals")
    return _dropped(plan, range(len(plan.label_times)), Reason.LABEL_ARRAYS)


def _with_times(plan: VideoPlan, segment: int, start_s: float, end_s: float) -> VideoPlan:
    times = plan.label_times.copy()
    times[segment] = start_s, end_s
    return replace(plan, label_times=times)


def _dropped(plan: VideoPlan, segments: list[int] | range, reason: Reason) -> VideoPlan:
    reasons = list(plan.label_reasons)
    for segment in segments:
        reasons[segment] = reason
    return replace(plan, label_reasons=tuple(reasons))


PLANNERS: Final[Mapping[str, Planner]] = {
    "words_and_vectors_missing": _absent(Root.WORDS, Root.VECTORS),
    "words_missing": _absent(Root.WORDS),
    "vectors_missing": _absent(Root.VECTORS),
    "audio_missing": _absent(Root.AUDIO),
    "video_missing": _absent(Root.VIDEO),
    "features_missing": _absent(Root.WORDS, Root.VECTORS, Root.AUDIO, Root.VIDEO),
    "labels_missing": _unlabelled,
    "empty_arrays": _broken("empty_arrays", State.EMPTY, ("features",)),
    "length_mismatch": _broken("length_mismatch", State.LENGTH_MISMATCH, ("features", "intervals")),
    "missing_array": _broken("missing_array", State.MISSING_ARRAY, ("features", "intervals")),
    "no_words": _silent_segment,
    "negative_start": _negative_start,
    "zero_length_label": _instant,
    "inverted_label": _inverted,
    "nan_label": _nan_label,
    "label_mismatch": _label_mismatch,
    **stream_defects.PLANNERS,
}
"""Every kind of defect, by the name of its rate; in this order, as later ones look at what earlier ones left."""
