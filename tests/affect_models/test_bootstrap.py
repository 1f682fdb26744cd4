"""The bootstrap on sufficient statistics against one that copies the samples of every resample."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from affect_models.evaluation import definitions
from affect_models.evaluation.bootstrap import Weights, percentile_interval, resample, whole
from affect_models.evaluation.metrics import evaluate, point_metrics

SUMS_OF_FRACTIONS = {"mae", "pearson", "ece"}
"""Metrics whose sums are not of whole numbers, so that the order of summation shows in the last bits."""


def case(kind, seed, n, n_groups, n_classes=4):
    rng = np.random.default_rng(seed)
    groups = np.array([f"video{i}" for i in rng.integers(0, n_groups, n)])
    if kind == "regression":
        truth = rng.integers(-6, 7, n) / 2
        return truth, truth + rng.normal(size=n), groups
    scores = np.round(rng.random((n, n_classes)), 2) + 0.01
    if kind == "multilabel":
        return (rng.random((n, n_classes)) < 0.3).astype(np.float32), np.minimum(scores, 1), groups
    return rng.choice(n_classes, n, p=[0.5, 0.3, 0.15, 0.05]), scores / scores.sum(axis=1, keepdims=True), groups


def resampled_rows(groups, resamples, seed):
    """The rows of each resample, copied out: the definition of the group bootstrap."""
    names = np.unique(groups)
    for drawn in np.random.default_rng(seed).integers(0, len(names), size=(resamples, len(names))):
        yield np.concatenate([np.flatnonzero(groups == names[g]) for g in drawn])


def loop_reference(kind, truth, scores, groups, resamples, seed, n_classes=4):
    """Every metric of every resample, undefined where a class of the metric is not in the resample."""
    rows_of = list(resampled_rows(groups, resamples, seed))
    result = [point_metrics(kind, truth[rows], scores[rows], n_classes) for rows in rows_of]
    for rows, values in zip(rows_of, result, strict=True):
        for name, lacking in lacks(kind, truth, scores, rows, n_classes).items():
            if lacking:
                values[name] = np.nan
    return {name: np.array([values[name] for values in result]) for name in result[0]}


def lacks(kind, truth, scores, rows, n_classes):
    if kind == "regression":
        return {}
    there = truth[:, None] == np.arange(n_classes) if kind == "multiclass" else truth == 1
    pred = scores > 0.5
    if kind == "multiclass":
        pred = scores.argmax(axis=1)[:, None] == np.arange(n_classes)
    occurs = there.any(axis=0)
    both = occurs & ~there.all(axis=0)
    either = occurs | pred.any(axis=0)
    lacking_both = (both & ~(there[rows].any(axis=0) & ~there[rows].all(axis=0))).any()
    return {
        "macro_f1": (either & ~(there[rows] | pred[rows]).any(axis=0)).any(),
        "auroc": lacking_both,
        "balanced_accuracy": (occurs & ~there[rows].any(axis=0)).any() if kind == "multiclass" else lacking_both,
    }


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["multiclass", "multilabel", "regression"]),
    seed=st.integers(0, 2**32),
    n=st.integers(8, 60),
    n_groups=st.integers(2, 12),
)
def test_every_resample_equals_the_loop(kind, seed, n, n_groups):
    truth, scores, groups = case(kind, seed, n, n_groups)
    weights = resample(groups, 20, seed)
    kernel = getattr(definitions, kind)
    got = kernel(truth.astype(np.bool_) if kind == "multilabel" else truth, scores, weights).overall
    expected = loop_reference(kind, truth, scores, groups, 20, seed)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        if name in SUMS_OF_FRACTIONS:
            np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], values, err_msg=name)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_intervals_are_the_quantiles_of_the_loop(kind):
    truth, scores, groups = case(kind, 4, 120, 15)
    got = evaluate(kind, tuple("abcd"), truth, scores, groups, resamples=150, seed=7)
    for name, values in loop_reference(kind, truth, scores, groups, 150, 7).items():
        defined = values[~np.isnan(values)]
        metric = got.metrics[name]
        np.testing.assert_allclose([metric.low, metric.high], np.quantile(defined, [0.025, 0.975]), rtol=1e-9)
        left_out = f"undefined in {150 - len(defined)} of 150 resamples"
        assert (left_out in (metric.note or "")) == (len(defined) < 150)


def test_resamples_against_scikit_learn():
    truth, probs, groups = case("multiclass", 11, 200, 30)
    got = definitions.multiclass(truth, probs, resample(groups, 40, 3))
    for b, rows in enumerate(resampled_rows(groups, 40, 3)):
        true, prob = truth[rows], probs[rows]
        pred = prob.argmax(axis=1)
        np.testing.assert_allclose(got.overall["accuracy"][b], sk.accuracy_score(true, pred))
        np.testing.assert_allclose(got.overall["weighted_f1"][b], sk.f1_score(true, pred, average="weighted"))
        np.testing.assert_allclose(
            got.by_class["recall"][b], sk.recall_score(true, pred, labels=range(4), average=None, zero_division=np.nan)
        )
        for c in range(4):
            if (true == c).any():
                np.testing.assert_allclose(got.by_class["auroc"][b, c], sk.roc_auc_score(true == c, prob[:, c]))
            else:
                assert np.isnan(got.by_class["auroc"][b, c])


def test_more_weightings_than_one_pass_of_the_auroc():
    truth, probs, groups = case("multiclass", 2, 60, 10)
    weights = resample(groups, 150, 0)
    together = definitions.auroc(truth == 0, probs[:, 0], weights)
    alone = [
        definitions.auroc(truth == 0, probs[:, 0], Weights(weights.group_N, weights.counts_GB[:, [b]]))[0]
        for b in range(150)
    ]
    np.testing.assert_array_equal(together, alone)


def test_a_draw_is_of_whole_groups():
    groups = np.array(["b", "a", "b", "c", "a"])
    weights = resample(groups, 500, 1)
    assert weights.group_N.tolist() == [1, 0, 1, 2, 0]
    assert weights.counts_GB.shape == (3, 500)
    np.testing.assert_array_equal(weights.counts_GB.sum(axis=0), 3)
    np.testing.assert_allclose(weights.counts_GB.mean(axis=1), 1, atol=0.15)


def test_intervals_over_groups_are_wider_on_clustered_data():
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(40), 25)
    truth = np.zeros(1000)
    score = rng.normal(size=40)[video] + 0.1 * rng.normal(size=1000)
    width = {}
    for name, groups in (("video", video), ("sample", np.arange(1000))):
        metric = evaluate("regression", ("sentiment",), truth, score, groups.astype(str)).metrics["mae"]
        width[name] = metric.high - metric.low
    assert width["video"] > 3 * width["sample"]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        video = np.repeat(np.arange(40), 5)
        p = rng.choice([0.5, 0.9], 40)[video]
        pred = (rng.random(200) < p).astype(int)
        metric = evaluate(
            "multiclass", ("a", "b"), np.ones(200, int), np.eye(2)[pred], video.astype(str), resamples=200, seed=seed
        ).metrics["accuracy"]
        hits += metric.low <= 0.7 <= metric.high
    assert 175 <= hits <= 199


def test_the_seed_decides_and_the_order_of_the_samples_does_not():
    truth, probs, groups = case("multiclass", 5, 90, 12)
    first = evaluate("multiclass", tuple("abcd"), truth, probs, groups, resamples=100)
    assert evaluate("multiclass", tuple("abcd"), truth, probs, groups, resamples=100) == first
    order = np.random.default_rng(1).permutation(90)
    moved = evaluate("multiclass", tuple("abcd"), truth[order], probs[order], groups[order], resamples=100)
    other = evaluate("multiclass", tuple("abcd"), truth, probs, groups, resamples=100, seed=1)
    for name in first.metrics:
        if name not in SUMS_OF_FRACTIONS:
            assert moved.metrics[name] == first.metrics[name]
    assert other.metrics["accuracy"].value == first.metrics["accuracy"].value
    assert (other.metrics["auroc"].low, other.metrics["auroc"].high) != (
        first.metrics["auroc"].low,
        first.metrics["auroc"].high,
    )


@pytest.mark.parametrize(("groups", "resamples"), [(["one"] * 4, 100), (list("abcd"), 0)])
def test_without_groups_or_resamples_there_is_no_interval(groups, resamples):
    got = evaluate("regression", ("sentiment",), [1, 2, 3, 0], [1, 2, 2, 1], groups, resamples=resamples)
    for metric in got.metrics.values():
        assert metric.value is not None
        assert (metric.low, metric.high) == (None, None)
        assert "no interval" in metric.note
    assert len(got.notes) == 1


def test_resamples_without_a_rare_class_are_left_out_and_counted():
    truth = np.array([0] * 9 + [1])
    got = evaluate("multiclass", ("a", "b"), truth, np.eye(2)[truth], np.arange(10).astype(str), resamples=400)
    metric = got.metrics["balanced_accuracy"]
    assert (metric.value, metric.low, metric.high) == (1, 1, 1)
    count = int(metric.note.split("undefined in ")[1].split()[0])
    assert 0.25 < count / 400 < 0.45  # (9 / 10) ** 10 = 0.35
    assert got.metrics["accuracy"].note is None


def test_percentiles_of_nothing():
    assert percentile_interval(np.full(3, np.nan)).low is None
    assert percentile_interval(np.full(3, np.nan)).undefined == 3
    assert percentile_interval(np.array([2.0, np.nan])).high == 2


def test_constancy_is_of_the_drawn_groups():
    weights = Weights(np.array([0, 0, 1]), np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 2.0]]))
    assert weights.is_constant(np.array([5.0, 5.0, 6.0])).tolist() == [True, False, True]
    assert whole(2).is_constant(np.array([1.0, 2.0])).tolist() == [False]


def test_a_full_evaluation_is_a_matter_of_seconds():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 6, 5000), rng.dirichlet(np.ones(6), 5000)
    started = time.perf_counter()
    evaluate("multiclass", tuple("abcdef"), truth, scores, rng.integers(0, 700, 5000).astype(str))
    assert time.perf_counter() - started < 10
