"""The floors: what a model has to beat before its number means anything.

Legend: N = samples, M = samples to predict, F = pooled features, C = classes or labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from affect_models.evaluation.bootstrap import Floats
from affect_models.evaluation.metrics import PRIMARY, point_metrics
from mosei_schemas.errors import InputError
from mosei_schemas.labels import Kind

RIDGE_ALPHAS: Final = (1e5, 1e4, 1e3, 1e2, 1e1, 1e0)
"""Penalties of the ridge regression, the strongest first: of equally good ones the strongest is chosen."""
LOGISTIC_CS: Final = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse penalties of the logistic regression, the strongest penalty first."""
_MAX_ITER: Final = 500


@dataclass(frozen=True, slots=True)
class LinearFloor:
    """A fitted linear model on pooled features.

    Attributes:
        kind: the kind of the task.
        strength: the chosen penalty: alpha of the ridge regression, C of the logistic regression.
        tried: strength -> the primary metric on the validation part; NaN where it was undefined.
        converged: whether every fit came to rest within the iterations it was allowed.
        mean, scale: (F,) of the training part; features are standardised with them.
        coef: (F, C), C = 1 for regression.
        bias: (C,); -inf for a class that the training part does not have, +inf for a label that is always there.
    """

    kind: Kind
    strength: float
    tried: dict[float, float]
    converged: bool
    mean: Floats
    scale: Floats
    coef: Floats
    bias: Floats

    def predict(self, pooled: npt.ArrayLike) -> Floats:
        """Pooled features (M, F) -> scores as `evaluate` takes them: (M, C) probabilities, or (M,) for regression."""
        standard = (np.asarray(pooled, np.float64) - self.mean) / self.scale
        return _scores(self.kind, standard @ self.coef + self.bias)


def majority_floor(kind: Kind, train_targets: npt.ArrayLike, n: int, *, n_classes: int | None = None) -> Floats:
    """Scores for n samples from the training targets alone.

    Args:
        kind: the kind of the task.
        train_targets: multiclass (N,), multilabel (N, C), regression (N,).
        n: samples to predict.
        n_classes: C of a multiclass task; by default as many as the training targets show.

    Returns:
        multiclass (n, C): the classes' frequencies, so that the prediction is the most frequent class. multilabel
        (n, C): the labels' frequencies. regression (n,): the median, which is the constant of least absolute error.
    """
    targets = np.asarray(train_targets)
    if len(targets) == 0:
        raise InputError("the training part has no samples", remedy="a floor needs some")
    if kind == "regression":
        return np.full(n, np.median(targets.astype(np.float64)))
    if kind == "multilabel":
        frequency = targets.astype(np.float64).mean(axis=0)
    else:
        frequency = np.bincount(targets, minlength=_width(kind, n_classes, targets)) / len(targets)
    return np.tile(frequency, (n, 1))


def linear_floor(
    kind: Kind,
    pooled_train: npt.ArrayLike,
    targets_train: npt.ArrayLike,
    pooled_valid: npt.ArrayLike,
    targets_valid: npt.ArrayLike,
    *,
    n_classes: int | None = None,
) -> LinearFloor:
    """Fit a linear model on pooled features; the validation part chooses its strength by the primary metric.

    Ridge regression for scores, class-balanced logistic regression for classes, and one such regression per label for
    labels. Nothing in it is random.

    Args:
        kind: the kind of the task.
        pooled_train: (N, F) finite features.
        targets_train: multiclass (N,), multilabel (N, C), regression (N,).
        pooled_valid: (M, F).
        targets_valid: as `targets_train`.
        n_classes: C of a multiclass task; by default as many as the targets of both parts show.

    Raises:
        InputError: a part has no samples, a feature is not finite, or a target is not one of the classes.
    """
    x_train, x_valid = np.asarray(pooled_train, np.float64), np.asarray(pooled_valid, np.float64)
    y_train, y_valid = np.asarray(targets_train), np.asarray(targets_valid)
    if not (len(x_train) and len(x_valid)):
        raise InputError("the training or the validation part has no samples", remedy="the linear floor needs both")
    if not (np.isfinite(x_train).all() and np.isfinite(x_valid).all()):
        raise InputError("a pooled feature is not finite")
    width = _width(kind, n_classes, y_train, y_valid)
    mean, scale = x_train.mean(axis=0), _scale(x_train)
    x_train, x_valid = (x_train - mean) / scale, (x_valid - mean) / scale
    fits = list(
        _ridge_path(x_train, y_train) if kind == "regression" else _logistic_path(kind, x_train, y_train, width)
    )
    name, end = PRIMARY[kind]
    values = [point_metrics(kind, y_valid, _scores(kind, fit.apply(x_valid)), width)[name] for fit in fits]
    merits = [-np.inf if np.isnan(v) else v if end == "max" else -v for v in values]
    best = fits[int(np.argmax(merits))]
    tried = {fit.strength: value for fit, value in zip(fits, values, strict=True)}
    at_rest = all(fit.converged for fit in fits)
    return LinearFloor(kind, best.strength, tried, at_rest, mean, scale, best.coef, best.bias)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One strength's model of standardised features: coef (F, C), bias (C,)."""

    strength: float
    coef: Floats
    bias: Floats
    converged: bool

    def apply(self, standard: Floats) -> Floats:
        return standard @ self.coef + self.bias


def _ridge_path(x: Floats, y: npt.NDArray[Any]) -> Iterator[_Fit]:
    from sklearn.linear_model import Ridge

    for alpha in RIDGE_ALPHAS:
        model = Ridge(alpha=alpha, solver="cholesky").fit(x, y.astype(np.float64))
        yield _Fit(alpha, model.coef_.reshape(-1, 1), np.reshape(model.intercept_, 1), True)


def _logistic_path(kind: Kind, x: Floats, y: npt.NDArray[Any], width: int) -> Iterator[_Fit]:
    """Fits from the strongest penalty to the weakest; each starts where the one before ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    columns = [y.astype(np.int64)] if kind == "multiclass" else list((y > 0).astype(np.int64).T)
    models = [LogisticRegression(class_weight="balanced", max_iter=_MAX_ITER, warm_start=True) for _ in columns]
    for strength in LOGISTIC_CS:
        parts = []
        with warnings.catch_warnings():
            # Counted in `converged` instead; the last iterations move the predictions very little.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for model, column in zip(models, columns, strict=True):
                if column.min() < column.max():
                    model.set_params(C=strength).fit(x, column)
                parts.append(_expanded(model, column, x.shape[1], width if kind == "multiclass" else 2))
        at_rest = all(int(np.max(getattr(model, "n_iter_", 0))) < _MAX_ITER for model in models)
        if kind == "multiclass":
            yield _Fit(strength, *parts[0], at_rest)
        else:
            # Two classes a label, absent and present: the sigmoid of the difference is the softmax of both.
            coef = np.stack([coef[:, 1] - coef[:, 0] for coef, _ in parts], axis=1)
            yield _Fit(strength, coef, np.array([bias[1] - bias[0] for _, bias in parts]), at_rest)


def _expanded(model: Any, column: npt.NDArray[np.int64], n_features: int, width: int) -> tuple[Floats, Floats]:
    """The coefficients (F, width) and biases (width,) of a fitted model; -inf for classes it has not seen."""
    coef, bias = np.zeros((n_features, width)), np.full(width, -np.inf)
    present = np.unique(column)
    bias[present] = 0
    if len(present) == 2:
        coef[:, present[1]], bias[present[1]] = model.coef_[0], model.intercept_[0]
    elif len(present) > 2:
        coef[:, present], bias[present] = model.coef_.T, model.intercept_
    return coef, bias


def _scores(kind: Kind, raw: Floats) -> Floats:
    """Raw outputs (M, C) -> scores as `evaluate` takes them."""
    if kind == "regression":
        return raw[:, 0]
    if kind == "multilabel":
        return np.asarray(0.5 * (1 + np.tanh(raw / 2)), np.float64)
    odds = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float64)


def _scale(x: Floats) -> Floats:
    """The columns' standard deviations (F,), 1 for columns that are constant but for rounding."""
    deviation = x.std(axis=0)
    return np.asarray(np.where(deviation > 1e-9 * np.abs(x).max(axis=0), deviation, 1.0), np.float64)


def _width(kind: Kind, n_classes: int | None, *targets: npt.NDArray[Any]) -> int:
    """C, as given or as the targets show it."""
    if kind == "regression":
        return 1
    if kind == "multilabel":
        return int(targets[0].shape[1])
    largest = int(max(part.max() for part in targets))
    if n_classes is not None and largest >= n_classes:
        raise InputError(f"a target is class {largest} of {n_classes} classes", remedy="classes are counted from 0")
    return n_classes or largest + 1
