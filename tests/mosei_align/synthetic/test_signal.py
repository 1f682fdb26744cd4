"""What there is to learn: MOSEI's skew, a signal for a linear model, and speakers that flatter a random split."""

import dataclasses
import json
from collections import Counter

import h5py
import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mosei_align.synthetic import Recipe, write_corpus
from mosei_align.synthetic.defects import plan_video
from mosei_align.synthetic.identity import identities
from mosei_align.synthetic.randomness import video_random

FILES = {
    "text": "CMU_MOSEI_TimestampedWordVectors.csd",
    "audio": "CMU_MOSEI_COVAREP.csd",
    "video": "CMU_MOSEI_VisualFacet42.csd",
    "labels": "CMU_MOSEI_Labels.csd",
}
SHORT = Recipe(
    videos=150,
    clean=True,
    mean_segments=6.0,
    median_segment_s=4.0,
    mean_gap_s=0.5,
    text_width=50,
    audio_rate_hz=25.0,
    video_rate_hz=25.0,
)


def plans(recipe):
    return [plan_video(recipe, who, video_random(recipe.seed, who.index)) for who in identities(recipe)]


def pooled(folder):
    """Mean vector of each modality, emotion, sentiment, speaker and deciding modality of each segment."""
    truth = json.loads((folder / "truth.json").read_text())
    speaker = {video["video_id"]: video["speaker_id"] for video in truth["videos"]}
    data = {}
    for name, file in FILES.items():
        with h5py.File(folder / file) as opened:
            (root,) = opened
            groups = opened[root]["data"].items()
            data[name] = {key: (g["features"][()], g["intervals"][()].mean(axis=1)) for key, g in groups}
    means = {name: [] for name in ("text", "audio", "video")}
    rest = []
    for segment in truth["segments"]:
        video = segment["video_id"]
        for name, rows in means.items():
            features, middle = data[name][video]
            inside = (middle >= segment["start_s"]) & (middle < segment["end_s"]) & features.any(axis=1)
            rows.append(features[inside].mean(axis=0))
        sentiment = data["labels"][video][0][segment["label_row"], 0]
        rest.append((segment["emotion"], sentiment, speaker[video], segment["decided_by"]))
    emotion, sentiment, speakers, decided_by = map(np.array, zip(*rest, strict=True))
    return {name: np.stack(rows) for name, rows in means.items()}, emotion, sentiment, speakers, decided_by


def out_of_fold(model, features, targets, speakers, disjoint):
    """Predictions of five folds, drawn at random or of whole speakers."""
    folds = GroupKFold(5).split(features, targets, speakers) if disjoint else KFold(5, shuffle=True, random_state=0)
    return cross_val_predict(make_pipeline(StandardScaler(), model), features, targets, cv=folds)


def emotion_score(features, emotion, speakers, disjoint):
    model = RidgeClassifier(30, class_weight="balanced")
    return balanced_accuracy_score(emotion, out_of_fold(model, features, emotion, speakers, disjoint))


@pytest.fixture(scope="module", params=range(3))
def corpus(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signal") / "corpus"
    write_corpus(folder, dataclasses.replace(SHORT, seed=request.param))
    return pooled(folder)


def test_a_random_split_flatters_and_a_disjoint_one_still_beats_the_floor(corpus):
    means, emotion, _, speakers, _ = corpus
    felt = emotion != "none"
    features = np.hstack(list(means.values()))[felt]
    scores = [emotion_score(features, emotion[felt], speakers[felt], disjoint) for disjoint in (False, True)]
    floor = 1 / 6
    assert scores[1] > floor + 0.25
    assert scores[0] > scores[1] + 0.1


def test_no_single_modality_does_as_well_as_all_three(corpus):
    means, emotion, _, speakers, _ = corpus
    felt = emotion != "none"
    together = emotion_score(np.hstack(list(means.values()))[felt], emotion[felt], speakers[felt], False)
    for features in means.values():
        assert emotion_score(features[felt], emotion[felt], speakers[felt], False) < together - 0.05


def test_the_modality_that_decides_carries_the_class(corpus):
    means, emotion, _, speakers, decided_by = corpus
    felt = emotion != "none"
    for name, features in means.items():
        predicted = out_of_fold(
            RidgeClassifier(30, class_weight="balanced"), features[felt], emotion[felt], speakers[felt], True
        )
        right = predicted == emotion[felt]
        decides = decided_by[felt] == name
        assert right[decides].mean() > right[~decides].mean() + 0.1


def test_sentiment_is_linearly_visible(corpus):
    means, _, sentiment, speakers, _ = corpus
    predicted = out_of_fold(Ridge(30), np.hstack(list(means.values())), sentiment, speakers, True)
    assert np.corrcoef(predicted, sentiment)[0, 1] > 0.45


def test_without_strength_there_is_nothing_to_learn(tmp_path):
    write_corpus(tmp_path / "corpus", dataclasses.replace(SHORT, strong=0.0, weak=0.0))
    means, emotion, _, speakers, _ = pooled(tmp_path / "corpus")
    frequent = np.isin(emotion, ("happy", "sad", "anger"))
    features = np.hstack(list(means.values()))[frequent]
    # Sentiment goes with the class and stays visible, so the score may be a little above a third.
    assert emotion_score(features, emotion[frequent], speakers[frequent], True) < 0.55


def test_the_labels_have_the_skew_of_mosei():
    annotations = [plan.annotation for plan in plans(Recipe(videos=1_500, seed=1, clean=True))]
    values = np.concatenate([a.values for a in annotations])
    tied = np.concatenate([a.tied for a in annotations])
    emotions = values[:, 1:]
    real = np.array([14_567, 3_782, 2_730, 437, 1_291, 452]) / 23_259
    found = np.bincount(emotions.argmax(axis=1), minlength=6) / len(emotions)
    assert found == pytest.approx(real, abs=0.04)
    assert (emotions.max(axis=1) == 0).mean() == pytest.approx(0.15, abs=0.03)
    assert tied.mean() == pytest.approx(0.08, abs=0.015)
    assert np.allclose(values * 3, np.round(values * 3), atol=1e-5)
    assert np.abs(values[:, 0]).max() <= 3
    assert 0 <= emotions.min() <= emotions.max() <= 3
    happy, sad = (values[emotions[:, k] > 0][:, 0].mean() for k in (0, 1))
    assert happy > sad + 0.5


def test_lengths_and_counts_are_those_of_mosei():
    recipe = Recipe(videos=1_000, seed=2)
    found = plans(recipe)
    labelled = [plan for plan in found if plan.labelled]
    segments = np.concatenate([plan.timeline.segments for plan in labelled])
    lengths = segments[:, 1] - segments[:, 0]
    assert len(segments) / recipe.videos == pytest.approx(6.1, rel=0.1)
    assert np.median(lengths) == pytest.approx(6.5, rel=0.05)
    assert 30 < lengths.max() <= 110
    counts = [len(plan.timeline.segments) for plan in labelled]
    assert min(counts) == 1
    assert 25 < max(counts) <= 98
    assert np.mean([plan.timeline.duration_s for plan in found]) == pytest.approx(118, rel=0.1)
    overlaps = np.concatenate([p.timeline.segments[:-1, 1] - p.timeline.segments[1:, 0] for p in labelled])
    assert (overlaps > 0).mean() == pytest.approx(0.68, abs=0.03)
    assert overlaps.max() <= 1.01
    words = [len(plan.words_of(i)) for plan in labelled if plan.words_known for i in plan.sound]
    assert np.median(words) == pytest.approx(19, abs=2)
    times = np.concatenate([plan.label_times for plan in labelled])
    assert (times[:, 0] < 0).mean() == pytest.approx(0.01, abs=0.005)
    assert times.min() > -0.5
    unsorted = [bool((np.diff(plan.label_order) < 0).any()) for plan in labelled]
    assert np.mean(unsorted) == pytest.approx(0.4, abs=0.05)


def test_speakers_have_a_few_videos_and_ids_are_of_both_sorts():
    found = list(identities(Recipe(videos=2_000, seed=3)))
    videos = Counter(who.speaker for who in found)
    assert np.mean(list(videos.values())) == pytest.approx(3, rel=0.1)
    ids = [who.video_id for who in found]
    assert len(set(ids)) == len(ids)
    assert 0.1 < np.mean([name.isdigit() for name in ids]) < 0.25
    assert all(len(name) == 11 or name.isdigit() for name in ids)
    assert any(name[0] in "-_" for name in ids)
    parts = Counter(who.part for who in found)
    assert parts == {"train": 1_400, "valid": 200, "test": 400}


def test_each_modality_decides_as_often_as_the_recipe_says():
    decided = np.concatenate([p.annotation.decided_by for p in plans(Recipe(videos=600, seed=4, clean=True))])
    assert np.bincount(decided) / len(decided) == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
