"""Every metric against scikit-learn or scipy, and by hand where these have no opinion."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from affect_models.evaluation.bootstrap import whole
from affect_models.evaluation.definitions import auroc, calibration_error, pearson, round_away
from affect_models.evaluation.metrics import PRIMARY, Evaluation, evaluate, point_metrics
from mosei_schemas.errors import InputError

NAMES = ("happy", "sad", "anger", "surprise", "disgust", "fear")


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def classes_case(seed, n, n_classes=6, *, ties=False):
    rng = np.random.default_rng(seed)
    truth = rng.choice(n_classes, n, p=np.arange(n_classes, 0, -1) / np.arange(n_classes, 0, -1).sum())
    logits = rng.normal(size=(n, n_classes)) + (truth[:, None] == np.arange(n_classes))
    return truth, softmax(np.round(logits) if ties else logits)


def labels_case(seed, n, n_labels=6, *, ties=False):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, n_labels)) < np.linspace(0.05, 0.6, n_labels)).astype(np.float32)
    scores = np.clip(0.35 * truth + 0.65 * rng.random((n, n_labels)), 0, 1)
    return truth, np.round(scores, 1) if ties else scores


def scores_case(seed, n):
    rng = np.random.default_rng(seed)
    truth = (rng.integers(-9, 10, n) / 3).astype(np.float32)
    return truth, truth + rng.normal(size=n)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), ties=st.booleans())
def test_multiclass_metrics_are_scikit_learns(seed, n, ties):
    truth, probs = classes_case(seed, n, ties=ties)
    pred = probs.argmax(axis=1)
    got = point_metrics("multiclass", truth, probs, 6)
    occurs = np.unique(truth)
    close(got["accuracy"], sk.accuracy_score(truth, pred))
    close(got["balanced_accuracy"], sk.recall_score(truth, pred, labels=occurs, average="macro"))
    close(got["macro_f1"], sk.f1_score(truth, pred, average="macro", zero_division=0))
    close(got["weighted_f1"], sk.f1_score(truth, pred, average="weighted", zero_division=0))
    if len(occurs) > 1:
        close(got["auroc"], np.mean([sk.roc_auc_score(truth == c, probs[:, c]) for c in occurs]))
    else:
        assert np.isnan(got["auroc"])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60))
def test_per_class_scores_and_confusion_are_scikit_learns(seed, n):
    truth, probs = classes_case(seed, n)
    pred = probs.argmax(axis=1)
    result = evaluate("multiclass", NAMES, truth, probs, np.arange(n).astype(str), resamples=3)
    assert result.confusion == sk.confusion_matrix(truth, pred, labels=range(6)).tolist()
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        truth, pred, labels=range(6), zero_division=np.nan
    )
    for c, score in enumerate(result.per_class):
        assert (score.name, score.n, score.predicted) == (NAMES[c], support[c], (pred == c).sum())
        for metric, expected in ((score.precision, precision[c]), (score.recall, recall[c]), (score.f1, f1[c])):
            close(np.nan if metric.value is None else metric.value, expected)
            assert (metric.value is None) == (metric.n == 0)
        if score.n not in (0, n):
            close(score.auroc.value, sk.roc_auc_score(truth == c, probs[:, c]))
            close(score.balanced_accuracy.value, sk.balanced_accuracy_score(truth == c, pred == c))
        else:
            assert score.auroc.value is None
            assert "undefined" in score.auroc.note


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), ties=st.booleans())
def test_multilabel_metrics_are_scikit_learns(seed, n, ties):
    truth, scores = labels_case(seed, n, ties=ties)
    pred = scores > 0.5
    got = point_metrics("multilabel", truth, scores, 6)
    either = np.flatnonzero(truth.any(axis=0) | pred.any(axis=0))
    both = np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))
    if len(either):
        close(got["macro_f1"], sk.f1_score(truth, pred, labels=either, average="macro", zero_division=0))
    if truth.any():
        close(got["weighted_f1"], sk.f1_score(truth, pred, average="weighted", zero_division=0))
    if len(both):
        close(got["balanced_accuracy"], np.mean([sk.balanced_accuracy_score(truth[:, c], pred[:, c]) for c in both]))
        close(got["auroc"], np.mean([sk.roc_auc_score(truth[:, c], scores[:, c]) for c in both]))
    assert np.isnan(got["macro_f1"]) == (len(either) == 0)
    assert np.isnan(got["weighted_f1"]) == (not truth.any())
    assert np.isnan(got["auroc"]) == np.isnan(got["balanced_accuracy"]) == (len(both) == 0)


def test_multilabel_balanced_accuracy_is_the_authors_weighted_accuracy():
    truth, scores = labels_case(5, 200, 3)
    pred = scores > 0.5
    weighted = []
    for c in range(3):
        tp, tn = (pred & (truth == 1))[:, c].sum(), (~pred & (truth == 0))[:, c].sum()
        p, n = (truth[:, c] == 1).sum(), (truth[:, c] == 0).sum()
        weighted.append((tp * n / p + tn) / (2 * n))
    close(point_metrics("multilabel", truth, scores, 3)["balanced_accuracy"], np.mean(weighted))


def test_a_probability_of_one_half_is_not_a_prediction():
    got = evaluate("multilabel", ("a",), [[1], [0]], [[0.5], [0.5000001]], ["u", "v"], resamples=0)
    assert got.per_class[0].predicted == 1
    assert got.per_class[0].f1.value == 0


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(3, 60))
def test_regression_metrics_are_scikit_learns(seed, n):
    truth, score = scores_case(seed, n)
    got = point_metrics("regression", truth, score, 1)
    close(got["mae"], sk.mean_absolute_error(truth.astype(np.float64), score))
    if np.ptp(truth) > 0:
        close(got["pearson"], stats.pearsonr(truth.astype(np.float64), score).statistic)
    for limit, name in ((3, "acc7"), (2, "acc5")):
        bins = [np.round(np.clip(x, -limit, limit)) for x in (truth, score)]
        close(got[name], sk.accuracy_score(*bins))
    for name, keep, true, pred in (
        ("has0", np.ones(n, bool), truth >= 0, score >= 0),
        ("non0", truth != 0, truth > 0, score > 0),
    ):
        true, pred = true[keep], pred[keep]
        if not keep.any():
            assert np.isnan(got[f"acc2_{name}"])
            continue
        close(got[f"acc2_{name}"], sk.accuracy_score(true, pred))
        close(got[f"f1_{name}"], sk.f1_score(true, pred, average="weighted", zero_division=0))
        close(got[f"legacy_f1_{name}"], sk.f1_score(pred, true, average="weighted", zero_division=0))


def test_acc7_rounds_halves_to_even_and_the_variant_away_from_zero():
    score = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    to_even = np.array([0, 2, 2, 0, -2, -2])
    away = np.array([1, 2, 3, -1, -2, -3])
    for truth, acc7, sdk in ((to_even, 1, 2 / 6), (away, 2 / 6, 1)):
        got = point_metrics("regression", truth, score, 1)
        assert (got["acc7"], got["acc7_sdk_bins"]) == (acc7, sdk)


def test_both_sides_of_acc7_are_rounded_and_clipped():
    got = point_metrics("regression", [2.5, -2.5, 3, 2], [2, -2, 40, 3], 1)
    assert got["acc7"] == 0.75
    assert got["acc5"] == 1
    assert got["acc7_sdk_bins"] == 0.25
    assert got["mae"] == pytest.approx((0.5 + 0.5 + 37 + 1) / 4)


def test_rounding_away_from_zero_just_below_a_half():
    below = np.nextafter(0.5, 0)
    assert round_away(np.array([below, 0.5, -below, -0.5])).tolist() == [0, 1, 0, -1]


def test_acc2_has0_counts_zero_as_positive_and_non0_drops_it():
    truth, score = [0, 0, 1, -1, -2], [0.1, -0.1, 0, 0, 0]
    got = evaluate("regression", ("sentiment",), truth, score, list("abcde"), resamples=20)
    assert got.metrics["acc2_has0"].value == 2 / 5
    assert got.metrics["acc2_non0"].value == 2 / 3
    assert got.metrics["acc2_has0"].n == 5
    assert got.metrics["acc2_non0"].n == got.metrics["f1_non0"].n == 3


@settings(max_examples=100)
@given(
    truth=hnp.arrays(np.bool_, st.shared(st.integers(2, 40), key="n")),
    score=hnp.arrays(np.int64, st.shared(st.integers(2, 40), key="n"), elements=st.integers(0, 5)),
)
def test_auroc_with_many_ties(truth, score):
    got = auroc(truth, score.astype(np.float64), whole(len(truth)))[0]
    if truth.all() or not truth.any():
        assert np.isnan(got)
    else:
        close(got, sk.roc_auc_score(truth, score))


def test_auroc_of_equal_scores_is_one_half():
    assert auroc(np.array([True, False, False]), np.ones(3), whole(3))[0] == 0.5


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 50), digits=st.integers(1, 8))
def test_calibration_error_is_the_sum_over_bins(seed, n, digits):
    rng = np.random.default_rng(seed)
    confidence, hit = np.round(rng.random(n), digits), rng.random(n) < 0.5
    expected = 0.0
    for k in range(15):
        here = (confidence > k / 15) & (confidence <= (k + 1) / 15) | ((confidence == 0) & (k == 0))
        if here.any():
            expected += here.mean() * abs(hit[here].mean() - confidence[here].mean())
    close(calibration_error(hit, confidence, whole(n))[0], expected)


def test_calibration_error_by_hand():
    probs = np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.4], [0.6, 0.4]])
    got = point_metrics("multiclass", [0, 1, 0, 0], probs, 2)
    assert got["ece"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.4)


@settings(max_examples=60)
@given(
    x=hnp.arrays(np.float32, st.shared(st.integers(2, 20), key="n"), elements=st.floats(-1e6, 1e6, width=32)),
    y=hnp.arrays(np.float32, st.shared(st.integers(2, 20), key="n"), elements=st.floats(-1e6, 1e6, width=32)),
)
def test_pearson_stays_in_range_and_is_undefined_exactly_where_a_side_is_constant(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    got = pearson(x, y, whole(len(x)))[0]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(got)
    else:
        assert -1 <= got <= 1


def test_pearson_far_from_zero():
    x = 1e6 + np.arange(9.0)
    close(pearson(x, np.sqrt(x), whole(9))[0], stats.pearsonr(x, np.sqrt(x)).statistic)


def test_pearson_of_a_constant_is_null_with_a_note():
    got = evaluate("regression", ("sentiment",), [1, 2, 3], [0.1, 0.1, 0.1], list("abc"), resamples=10)
    metric = got.metrics["pearson"]
    assert (metric.value, metric.low, metric.high) == (None, None, None)
    assert "constant" in metric.note
    assert got.metrics["mae"].note is None


def test_classes_that_do_not_occur_are_named():
    truth, probs = classes_case(1, 40, 3)
    probs = np.hstack([probs, np.zeros((40, 1))])
    got = evaluate("multiclass", ("a", "b", "c", "fear"), truth, probs, np.arange(40).astype(str), resamples=20)
    for name in ("balanced_accuracy", "macro_f1", "auroc"):
        assert "fear (n = 0)" in got.metrics[name].note
        assert any(name in note and "fear (n = 0)" in note for note in got.notes)
    assert got.metrics["accuracy"].note is None
    assert got.per_class[3].recall.value is None
    assert got.per_class[3].n == 0


def test_a_class_that_is_only_predicted_lowers_macro_f1_but_not_balanced_accuracy():
    got = point_metrics("multiclass", [0, 0, 1], np.eye(3)[[0, 2, 1]], 3)
    assert got["balanced_accuracy"] == 0.75
    assert got["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_one_class_only():
    got = evaluate("multiclass", ("a", "b"), [0, 0, 0], [[0.9, 0.1]] * 3, list("xyz"), resamples=10)
    assert got.metrics["balanced_accuracy"].value == 1
    assert got.metrics["auroc"].value is None


def test_labels_that_never_occur_leave_nothing_to_average():
    got = evaluate("multilabel", ("a", "b"), np.zeros((3, 2)), np.full((3, 2), 0.1), list("xyz"), resamples=10)
    assert all(metric.value is None and metric.note for metric in got.metrics.values())


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_point_metrics_equal_evaluate_and_the_result_survives_json(kind):
    cases = {"multiclass": classes_case(3, 80), "multilabel": labels_case(3, 80), "regression": scores_case(3, 80)}
    truth, scores = cases[kind]
    names = ("sentiment",) if kind == "regression" else NAMES
    groups = np.array([f"v{i % 9}" for i in range(80)])
    got = evaluate(kind, names, truth, scores, groups, resamples=50)
    assert {name: metric.value for name, metric in got.metrics.items()} == point_metrics(
        kind, truth, scores, len(names)
    )
    assert PRIMARY[kind][0] in got.metrics
    assert (got.kind, got.n, got.groups, got.resamples, got.seed) == (kind, 80, 9, 50, 0)
    assert Evaluation.model_validate(json.loads(got.model_dump_json())) == got
    assert (got.confusion is None) == (kind != "multiclass")
    for metric in got.metrics.values():
        assert metric.low <= metric.high


@pytest.mark.parametrize(
    ("kind", "truth", "scores", "says"),
    [
        ("multiclass", [], np.zeros((0, 2)), "no samples"),
        ("multiclass", [0, 2], [[0.5, 0.5]] * 2, "from 0 to 1"),
        ("multiclass", [0, -1], [[0.5, 0.5]] * 2, "from 0 to 1"),
        ("multiclass", [0, 1], [[3.0, -1.0]] * 2, "logits"),
        ("multiclass", [0, 1], [[0.5, 0.2]] * 2, "softmax"),
        ("multiclass", [0, 1], [[0.5, 0.3, 0.2]] * 2, "shape"),
        ("multiclass", [0, 1], [[np.nan, 0.5]] * 2, "not finite"),
        ("multilabel", [[0, 0.5]], [[0.5, 0.5]], "from 0 to 1"),
        ("multilabel", [0, 1], [[0.5, 0.5]] * 2, "shape"),
        ("regression", [0.0, np.inf], [0.5, 0.5], "not finite"),
        ("regression", [0.0, 1.0], [[0.5], [0.5]], "shape"),
    ],
)
def test_impossible_input_is_refused(kind, truth, scores, says):
    with pytest.raises(InputError, match=says):
        point_metrics(kind, truth, scores, 2)


def test_groups_of_another_length_are_refused():
    with pytest.raises(InputError, match="groups"):
        evaluate("regression", ("sentiment",), [0, 1], [0, 1], ["a"])
