"""The recipe a video at a time gives what the whole corpus at once gives."""

import pickle
from collections.abc import Set
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosei_align.compat_mmsdk import (
    Entry,
    Purge,
    RecipeFiles,
    RecipeVideo,
    Sequences,
    align,
    average,
    hard_unify,
    plan_purge,
    surviving_sequences,
    words_then_labels,
)
from mosei_align.compat_mmsdk.sequences import video_of
from mosei_align.sources.csd import CsdFile

STAGES = ("B1_words_average", "B2_then_labels", "B3_hard_unify")
NAMES = ("text", "audio", "video", "labels")


def put_together(videos: list[RecipeVideo]) -> tuple[Sequences, Sequences, Sequences]:
    parts: tuple[Sequences, Sequences, Sequences] = ({}, {}, {})
    for made in videos:
        for whole, part in zip(parts, (made.words, made.labelled, made.unified), strict=True):
            for name, entries in part.items():
                whole.setdefault(name, {}).update(entries)
    return parts


def check_word_rows(made: RecipeVideo) -> None:
    """Each row of a label is the word that it says it is."""
    for name, found in made.word_rows.items():
        assert found.keys() == made.labelled[name].keys()
        for key, rows in found.items():
            words = [made.words[name][f"{made.video_id}[{row}]"].features for row in rows.tolist()]
            assert np.concatenate(words).tobytes() == made.labelled[name][key].features.tobytes()


@pytest.fixture
def files(golden) -> Any:
    indexes = []
    for name in ("glove_vectors", "COVAREP", "FACET_42", "labels"):
        with CsdFile(golden.input / f"{name}.csd") as file:
            indexes.append(file.index())
    with RecipeFiles(*indexes) as opened:
        yield opened


@pytest.mark.real
def test_the_golden_videos_one_by_one(files, golden, flat) -> None:
    purge: Purge = pickle.loads(pickle.dumps(files.plan()))
    made = [files.video(video, purge) for video in files.videos]
    for stage, sequences in zip(STAGES, put_together(made), strict=True):
        assert flat(sequences) == golden.stage(stage)
    for stage in STAGES:
        told = [tuple(loss) for video in made for loss in video.losses if loss.stage == stage]
        place = {name: k for k, name in enumerate(purge.names)}
        if stage == "B3_hard_unify":
            told.sort(key=lambda loss: place[loss[1]])
        assert told == golden.losses(stage)
    for video in made:
        check_word_rows(video)


TIMES = st.builds(
    lambda step, shift: step * 0.25 + shift,
    st.integers(1, 9),
    st.sampled_from([0.0, 0.0, 0.0, 4e-6, 1e-5, 1.2e-5, -1e-5, 0.1]),
)
LENGTHS = st.sampled_from([0.25, 0.25, 0.25, 0.5, 1.0, 0.0, 5e-6, -0.25, np.nan, np.inf])


@st.composite
def entries(draw: Any, width: int) -> Entry:
    rows = draw(st.lists(st.tuples(TIMES, LENGTHS), max_size=6))
    starts = np.array([start for start, _ in rows], np.float64)
    lengths = np.array([length for _, length in rows], np.float64)
    intervals = np.stack([starts, starts + lengths], axis=1)
    if len(rows) and draw(st.booleans()):
        intervals[draw(st.integers(0, len(rows) - 1)), 0] = np.nan
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return Entry(random.normal(size=(len(rows), width)).astype(np.float32), intervals)


@st.composite
def corpora(draw: Any) -> Sequences:
    """Small corpora with ids that begin others, and videos with several entries where mmsdk bears it."""
    corpus: Sequences = {name: {} for name in NAMES}
    for video in draw(
        st.lists(st.sampled_from(["a", "ab", "abc", "a-", "b", "B", "7", "70"]), unique=True, min_size=1)
    ):
        for name, width in zip(NAMES, (3, 1, 4, 2), strict=True):
            if draw(st.integers(0, 7)) == 0:
                continue
            keys = [video]
            if name in ("audio", "video"):
                keys = draw(st.sampled_from([[video]] * 4 + [[video, f"{video}[0]"], [f"{video}[10]", f"{video}[2]"]]))
            for key in keys:
                corpus[name][key] = draw(entries(width))
    return {name: dict(sorted(found.items())) for name, found in corpus.items()}


def stream(corpus: Sequences) -> tuple[Purge, list[RecipeVideo]]:
    def of(name: str, video: str) -> dict[str, Entry]:
        return {key: entry for key, entry in corpus[name].items() if video_of(key) == video}

    def survivors(video: str) -> set[str]:
        times = {name: {key: e.intervals for key, e in of(name, video).items()} for name in NAMES[:3]}
        return surviving_sequences(times, "text")

    purge = plan_purge(corpus, survivors)
    videos = sorted({video_of(key) for found in corpus.values() for key in found})
    return purge, [words_then_labels(video, *(of(name, video) for name in NAMES), purge=purge) for video in videos]


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(corpora())
def test_any_corpus_video_by_video(slow, flat, corpus: Sequences) -> None:
    streams, labels = {name: corpus[name] for name in NAMES[:3]}, corpus["labels"]
    words = align(streams, "text", average)
    labelled = align({**words.sequences, "labels": labels}, "labels", measured=streams)
    unified = hard_unify(labelled.sequences)
    _, made = stream(corpus)
    together = put_together(made)
    with np.errstate(all="ignore"):
        slowly = slow.recipe(streams, labels)
    for mine, whole, obvious in zip(together, (words, labelled, unified), slowly, strict=True):
        assert flat(mine) == flat(whole.sequences)
        assert flat(mine) == flat(obvious)
    for stage, whole in zip(STAGES, (words, labelled, unified), strict=True):
        told = [loss[1:] for video in made for loss in video.losses if loss.stage == stage]
        assert sorted(told) == sorted(tuple(loss) for loss in whole.losses)
    for video in made:
        check_word_rows(video)


def rows(*spans: tuple[float, float], width: int = 2) -> Entry:
    return Entry(np.ones((len(spans), width), np.float32), np.array(spans, np.float64).reshape(-1, 2))


def test_only_ids_that_begin_others_are_asked_about() -> None:
    asked = []

    def survivors(video: str) -> Set[str]:
        asked.append(video)
        return {"text", "audio"}

    keys = {name: ["7", "70", "700", "8", "9"] for name in NAMES}
    keys["audio"] = ["7[0]", "7[1]", "70", "700", "9"]
    purge = plan_purge(keys, survivors)
    assert asked == ["7"]
    assert purge.words == {"8": "video: id absent from audio"}
    assert purge.labels == {"70": "7", "700": "7"}


@pytest.mark.parametrize(("begins", "labelled"), [(0.0, True), (50.0, False)])
def test_a_video_that_audio_does_not_reach_takes_those_with_it_that_begin_with_its_id(
    begins: float, labelled: bool
) -> None:
    whole = rows((0, 1), (1, 2))
    corpus = {name: {"70": whole, "701": whole} for name in NAMES}
    corpus["audio"]["70"] = rows((begins, begins + 1))
    _, (_, longer) = stream(corpus)
    assert longer.video_id == "701"
    assert all(len(found) == 2 for found in longer.words.values())
    assert bool(longer.unified["labels"]) is labelled
    reason = "video: purged because violator id '70' is a prefix of it (shared by every sequence)"
    told = {tuple(loss) for loss in longer.losses}
    expected = {("B2_then_labels", name, f"701[{k}]", reason) for name in NAMES for k in (0, 1)}
    assert told == (set() if labelled else expected)


def test_a_video_without_labels_and_one_with_nothing_else() -> None:
    whole = rows((0, 1))
    corpus: Sequences = {"text": {"a": whole}, "audio": {"a": whole}, "video": {"a": whole}, "labels": {"b": whole}}
    _, (unlabelled, bare) = stream(corpus)
    assert len(unlabelled.words["text"]) == 1
    assert unlabelled.losses == ()
    assert not any(unlabelled.labelled.values())
    assert {loss.reason for loss in bare.losses} == {"video: id absent from text, audio, video"}
    assert len(bare.losses) == 4
