"""The floors: what they predict, which strength they choose, and classes that the training part lacks."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from affect_models.evaluation.floors import LOGISTIC_CS, RIDGE_ALPHAS, linear_floor, majority_floor
from affect_models.evaluation.metrics import PRIMARY, point_metrics
from mosei_schemas.errors import InputError

WEIGHTS = np.random.default_rng(99).normal(size=(8, 3))


def part(kind, seed, n=300):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)) * 10.0 ** np.arange(-3, 5) + 5
    raw = ((x - 5) / 10.0 ** np.arange(-3, 5)) @ WEIGHTS + rng.normal(size=(n, 3))
    targets = {"multiclass": np.add(raw, [2, 0, 0]).argmax(axis=1), "multilabel": (raw > 1).astype(np.float32)}
    return x.astype(np.float32), targets.get(kind, raw[:, 0].astype(np.float32))


def test_majority_floor_of_classes_predicts_the_most_frequent():
    scores = majority_floor("multiclass", [2, 2, 1, 2, 0], 4, n_classes=5)
    assert scores.shape == (4, 5)
    assert scores[0].tolist() == [0.2, 0.2, 0.6, 0, 0]
    got = point_metrics("multiclass", [0, 1, 2, 2], scores, 5)
    assert got["balanced_accuracy"] == pytest.approx(1 / 3)
    assert got["auroc"] == 0.5
    assert majority_floor("multiclass", [2, 0], 1).shape == (1, 3)


def test_majority_floor_of_labels_and_scores():
    assert majority_floor("multilabel", [[1, 0], [1, 0], [0, 1], [1, 0]], 2).tolist() == [[0.75, 0.25]] * 2
    assert majority_floor("regression", np.float32([0, 1, 100]), 2).tolist() == [1, 1]


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_linear_floor_beats_the_majority(kind):
    (x, y), (x_valid, y_valid), (x_test, y_test) = (part(kind, seed) for seed in range(3))
    floor = linear_floor(kind, x, y, x_valid, y_valid, n_classes=3)
    name, end = PRIMARY[kind]
    linear = point_metrics(kind, y_test, floor.predict(x_test), 3)[name]
    majority = point_metrics(kind, y_test, majority_floor(kind, y, len(y_test), n_classes=3), 3)[name]
    assert linear > majority + 0.2 if end == "max" else linear < majority - 0.2
    assert floor.converged


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_the_strength_is_the_best_of_the_grid_on_the_validation_part(kind):
    (x, y), (x_valid, y_valid) = part(kind, 0), part(kind, 1)
    floor = linear_floor(kind, x, y, x_valid, y_valid)
    assert tuple(floor.tried) == (RIDGE_ALPHAS if kind == "regression" else LOGISTIC_CS)
    name, end = PRIMARY[kind]
    assert floor.tried[floor.strength] == (max if end == "max" else min)(floor.tried.values())
    assert point_metrics(kind, y_valid, floor.predict(x_valid), 3)[name] == floor.tried[floor.strength]


def test_the_test_part_chooses_nothing_and_nothing_is_random():
    (x, y), (x_valid, y_valid) = part("multiclass", 0), part("multiclass", 1)
    first = linear_floor("multiclass", x, y, x_valid, y_valid)
    second = linear_floor("multiclass", x, y, x_valid, y_valid)
    np.testing.assert_array_equal(first.predict(x_valid), second.predict(x_valid))


def test_scores_are_scikit_learns():
    (x, y), (x_valid, y_valid) = part("regression", 0), part("regression", 1)
    floor = linear_floor("regression", x, y, x_valid, y_valid)
    scaler = StandardScaler().fit(x.astype(np.float64))
    model = Ridge(alpha=floor.strength).fit(scaler.transform(x.astype(np.float64)), y)
    np.testing.assert_allclose(
        floor.predict(x_valid), model.predict(scaler.transform(x_valid.astype(np.float64))), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("classes", [(0, 1, 2), (0, 2)])
def test_probabilities_are_scikit_learns(classes):
    (x, y), (x_valid, y_valid) = part("multiclass", 0), part("multiclass", 1)
    keep = np.isin(y, classes)
    x, y = x[keep], y[keep]
    floor = linear_floor("multiclass", x, y, x_valid, y_valid, n_classes=4)
    scaler = StandardScaler().fit(x.astype(np.float64))
    model = LogisticRegression(C=floor.strength, class_weight="balanced", tol=1e-8, max_iter=2000)
    model.fit(scaler.transform(x.astype(np.float64)), y)
    got = floor.predict(x_valid)
    assert got.shape == (len(x_valid), 4)
    expected = model.predict_proba(scaler.transform(x_valid.astype(np.float64)))
    np.testing.assert_allclose(got[:, classes], expected, atol=1e-3)
    absent = np.setdiff1d(np.arange(4), classes)
    assert (got[:, absent] == 0).all()


def test_labels_are_one_regression_each():
    (x, y), (x_valid, y_valid) = part("multilabel", 0), part("multilabel", 1)
    floor = linear_floor("multilabel", x, y, x_valid, y_valid)
    scaler = StandardScaler().fit(x.astype(np.float64))
    for c in range(3):
        model = LogisticRegression(C=floor.strength, class_weight="balanced", tol=1e-8, max_iter=2000)
        model.fit(scaler.transform(x.astype(np.float64)), y[:, c])
        expected = model.predict_proba(scaler.transform(x_valid.astype(np.float64)))[:, 1]
        np.testing.assert_allclose(floor.predict(x_valid)[:, c], expected, atol=1e-3)


def test_a_training_part_of_one_class_and_labels_without_contrast():
    x, _ = part("multiclass", 0, 20)
    floor = linear_floor("multiclass", x, np.full(20, 1), x, np.arange(20) % 3, n_classes=3)
    assert floor.predict(x).tolist() == [[0, 1, 0]] * 20
    assert floor.strength == LOGISTIC_CS[0]
    labels = np.stack([np.zeros(20), np.ones(20), np.arange(20) % 2], axis=1)
    scores = linear_floor("multilabel", x, labels, x, labels).predict(x)
    assert (scores[:, 0] == 0).all()
    assert (scores[:, 1] == 1).all()
    assert ((scores[:, 2] > 0) & (scores[:, 2] < 1)).all()


def test_constant_features_do_no_harm():
    (x, y), (x_valid, y_valid) = part("multiclass", 0), part("multiclass", 1)
    plain = linear_floor("multiclass", x, y, x_valid, y_valid).predict(x_valid)
    constant, other = np.full((len(x), 2), [0.1, 0]), np.full((len(x), 2), [7.0, 3])
    more = linear_floor("multiclass", np.hstack([x, constant]), y, np.hstack([x_valid, other]), y_valid)
    np.testing.assert_allclose(more.predict(np.hstack([x_valid, other])), plain, atol=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "no samples"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "not finite"),
        (np.eye(2), np.array([0, 5]), "class 5 of 3"),
    ],
)
def test_unusable_parts_are_refused(x, y, says):
    with pytest.raises(InputError, match=says):
        linear_floor("multiclass", x, y, np.eye(2), np.array([0, 1]), n_classes=3)


def test_a_majority_of_nothing_is_refused():
    with pytest.raises(InputError, match="no samples"):
        majority_floor("regression", [], 3)
