"""What each metric is: B weighted samples -> B values, NaN where a metric is undefined.

Legend: N = samples, C = classes or labels, B = weightings (see `Weights`), P = samples of the positive class.

A mean over classes is over the classes that the data as a whole decide, in every resample: where one of them cannot
be computed in a resample, the mean is undefined there rather than a mean over other classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from affect_models.evaluation.bootstrap import Bools, Floats, Ints, Weights

ECE_BINS: Final = 15
THRESHOLD: Final = 0.5
"""A label is predicted where its probability is above this."""
_CHUNK: Final = 64
"""Weightings per pass of the AUROC: the running sums of one pass should stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Values:
    """The metrics of one task.

    Attributes:
        overall: metric -> (B,).
        by_class: metric -> (B, C); empty for regression.
        classes_of: metric that is a mean over classes -> (C,) bool, the classes it is a mean over.
        n_of: metric -> samples it rests on, where these are not all of them.
        n_of_class: metric -> (C,) samples it rests on.
        confusion: (C, C) counts, truth x prediction, of the samples as they are; only for multiclass.
    """

    overall: dict[str, Floats]
    by_class: dict[str, Floats] = field(default_factory=dict)
    classes_of: dict[str, Bools] = field(default_factory=dict)
    n_of: dict[str, int] = field(default_factory=dict)
    n_of_class: dict[str, Ints] = field(default_factory=dict)
    confusion: Ints | None = None


def multiclass(truth_N: Ints, probs_NC: Floats, weights: Weights) -> Values:
    """One class of C per sample; the prediction is the most probable class, the first of them in a tie.

    balanced_accuracy: mean recall over the classes that occur in the truth (Brodersen et al. 2010; scikit-learn).
    macro_f1: mean F1 over the classes that occur in the truth or among the predictions.
    weighted_f1: mean F1 with the classes' share of the truth as weights. auroc: mean over classes, each against the
    rest, that neither lack nor are all of the truth. ece: see `calibration_error`.
    """
    n_classes = probs_NC.shape[1]
    pred_N = probs_NC.argmax(axis=1)
    conf_BCC = weights.cells(truth_N * n_classes + pred_N, n_classes**2).reshape(-1, n_classes, n_classes)
    hits_BC = np.diagonal(conf_BCC, axis1=1, axis2=2)
    total_B = conf_BCC.sum(axis=(1, 2))
    by_class = one_vs_rest(hits_BC, conf_BCC.sum(axis=2), conf_BCC.sum(axis=1), total_B)
    truth_NC = truth_N[:, None] == np.arange(n_classes)
    pred_NC = pred_N[:, None] == np.arange(n_classes)
    by_class["auroc"] = aurocs(truth_NC, probs_NC, weights)
    both, either = _both(truth_NC), _any(truth_NC | pred_NC)
    classes_of = {"balanced_accuracy": _any(truth_NC), "macro_f1": either, "auroc": both}
    overall = {
        "balanced_accuracy": mean_over(by_class["recall"], classes_of["balanced_accuracy"]),
        "accuracy": ratio(hits_BC.sum(axis=1), total_B),
        "macro_f1": mean_over(by_class["f1"], classes_of["macro_f1"]),
        "weighted_f1": weighted_f1(by_class["f1"], conf_BCC.sum(axis=2)),
        "auroc": mean_over(by_class["auroc"], classes_of["auroc"]),
        "ece": calibration_error(truth_N == pred_N, probs_NC.max(axis=1), weights),
    }
    confusion = np.bincount(truth_N * n_classes + pred_N, minlength=n_classes**2).reshape(n_classes, n_classes)
    n_of_class = _n_of_class(truth_NC, pred_NC)
    return Values(overall, by_class, classes_of, {}, n_of_class, confusion.astype(np.int64))


def multilabel(truth_NC: Bools, probs_NC: Floats, weights: Weights) -> Values:
    """C labels per sample, each there or not; predicted where the probability is above `THRESHOLD`.

    macro_f1: mean F1 over the labels that occur in the truth or among the predictions. weighted_f1: mean F1 with the
    labels' counts in the truth as weights. balanced_accuracy: mean over labels of (recall + specificity) / 2, which
    the authors of CMU-MOSEI call weighted accuracy (Zadeh et al. 2018); it and auroc are over the labels that are
    there in some samples and not in others.
    """
    pred_NC = probs_NC > THRESHOLD
    tp_BC = weights.sums((truth_NC & pred_NC).astype(np.float64))
    n_BC = weights.sums(truth_NC.astype(np.float64))
    predicted_BC = weights.sums(pred_NC.astype(np.float64))
    by_class = one_vs_rest(tp_BC, n_BC, predicted_BC, weights.sums(np.ones((len(truth_NC), 1)))[:, 0])
    by_class["auroc"] = aurocs(truth_NC, probs_NC, weights)
    both, either = _both(truth_NC), _any(truth_NC | pred_NC)
    overall = {
        "macro_f1": mean_over(by_class["f1"], either),
        "weighted_f1": weighted_f1(by_class["f1"], n_BC),
        "balanced_accuracy": mean_over(by_class["balanced_accuracy"], both),
        "auroc": mean_over(by_class["auroc"], both),
    }
    classes_of = {"macro_f1": either, "balanced_accuracy": both, "auroc": both}
    return Values(overall, by_class, classes_of, {}, _n_of_class(truth_NC, pred_NC))


def regression(truth_N: Floats, score_N: Floats, weights: Weights) -> Values:
    """A score per sample, in [-3, 3] for sentiment.

    mae, pearson: of the scores as they are. acc7, acc5: both sides clipped to +-3 or +-2 and rounded half to even, as
    `np.round` does and the public code with it. acc7_sdk_bins: rounded half away from zero. Has0 compares truth >= 0
    with score >= 0; Non0 drops the samples whose truth is 0 and compares > 0 with > 0. f1 is the mean of the F1 of
    both sides with their share of the truth as weights; legacy_f1 has their share of the predictions instead, which is
    what code computes that gives scikit-learn prediction and truth in the wrong order.
    """
    moved = truth_N != 0
    hits = [_bins(truth_N, limit) == _bins(score_N, limit) for limit in (3, 2)]
    hits.append(round_away(np.clip(truth_N, -3, 3)) == round_away(np.clip(score_N, -3, 3)))
    columns = np.stack([np.ones_like(truth_N), np.abs(truth_N - score_N), *hits], axis=1)
    total, error, *right = weights.sums(columns).T
    overall = {"mae": ratio(error, total), "pearson": pearson(truth_N, score_N, weights)}
    overall |= {name: ratio(x, total) for name, x in zip(("acc7", "acc5", "acc7_sdk_bins"), right, strict=True)}
    overall |= _two_sided("has0", truth_N >= 0, score_N >= 0, np.ones_like(moved), weights)
    overall |= _two_sided("non0", truth_N > 0, score_N > 0, moved, weights)
    n_of = {f"{name}_non0": int(moved.sum()) for name in ("acc2", "f1", "legacy_f1")}
    return Values(overall, n_of=n_of)


def one_vs_rest(tp_BC: Floats, n_BC: Floats, predicted_BC: Floats, total_B: Floats) -> dict[str, Floats]:
    """Precision, recall, F1 and balanced accuracy of each class against the rest, each (B, C).

    Args:
        tp_BC: samples that are and are predicted as the class.
        n_BC: samples that are of the class.
        predicted_BC: samples that are predicted as it.
        total_B: samples.
    """
    others_BC = total_B[:, None] - n_BC
    recall = ratio(tp_BC, n_BC)
    specificity = ratio(others_BC - predicted_BC + tp_BC, others_BC)
    return {
        "precision": ratio(tp_BC, predicted_BC),
        "recall": recall,
        "f1": ratio(2 * tp_BC, n_BC + predicted_BC),
        "balanced_accuracy": (recall + specificity) / 2,
    }


def weighted_f1(f1_BC: Floats, n_BC: Floats) -> Floats:
    """The mean of the classes' F1 with `n_BC` as weights: (B,). A class of weight 0 may have no F1."""
    return ratio(np.where(n_BC > 0, f1_BC * n_BC, 0.0).sum(axis=1), n_BC.sum(axis=1))


def mean_over(values_BC: Floats, classes: Bools) -> Floats:
    """The mean over the given classes: (B,), NaN where one of them has no value and where none is given."""
    if not classes.any():
        return np.full(len(values_BC), np.nan)
    return np.asarray(values_BC[:, classes].mean(axis=1), np.float64)


def aurocs(truth_NC: Bools, score_NC: Floats, weights: Weights) -> Floats:
    """`auroc` of each of C classes: (B, C)."""
    columns = zip(truth_NC.T, score_NC.T, strict=True)
    return np.stack([auroc(truth, score, weights) for truth, score in columns], axis=1)


def auroc(truth_N: Bools, score_N: Floats, weights: Weights) -> Floats:
    """The area under the ROC curve: (B,), NaN where positives or negatives are missing.

    It is the share of the pairs of a positive and a negative in which the positive scores higher, equal scores
    counting one half (Hanley and McNeil 1982): the Mann-Whitney statistic with mid-ranks. The negatives are sorted
    once; per weighting a running sum over them says how many lie below each positive.
    """
    positive, negative = np.flatnonzero(truth_N), np.flatnonzero(~truth_N)
    negative = negative[np.argsort(score_N[negative], kind="stable")]
    below_P = np.searchsorted(score_N[negative], score_N[positive], side="left")
    upto_P = np.searchsorted(score_N[negative], score_N[positive], side="right")
    n_weightings = weights.counts_GB.shape[1]
    result = np.empty(n_weightings)
    for start in range(0, n_weightings, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        counts = np.ascontiguousarray(weights.counts_GB[:, chunk])
        running = np.zeros((len(negative) + 1, counts.shape[1]))
        np.cumsum(counts[weights.group_N[negative]], axis=0, out=running[1:])
        of_positive = counts[weights.group_N[positive]]
        won = np.einsum("pb,pb->b", of_positive, running[below_P] + running[upto_P]) / 2
        result[chunk] = ratio(won, of_positive.sum(axis=0) * running[-1])
    return result


def calibration_error(hit_N: Bools, confidence_N: Floats, weights: Weights) -> Floats:
    """The expected calibration error: (B,), after Guo et al. 2017.

    `ECE_BINS` bins of equal width, ]0, 1/15] ... ]14/15, 1]; the mean over samples of the distance between accuracy
    and mean confidence in the sample's bin. It measures noise as error: on few samples it is too large, and in
    resamples larger still, so its interval lies high.
    """
    edges = np.linspace(0, 1, ECE_BINS + 1)
    bin_N = np.clip(np.searchsorted(edges, confidence_N, side="left") - 1, 0, ECE_BINS - 1)
    gap = np.abs(weights.cells(bin_N, ECE_BINS, hit_N - confidence_N)).sum(axis=1)
    return ratio(gap, weights.sums(np.ones((len(hit_N), 1)))[:, 0])


def pearson(x_N: Floats, y_N: Floats, weights: Weights) -> Floats:
    """The correlation coefficient: (B,), NaN where one side is constant."""
    x, y = _centred(x_N), _centred(y_N)
    n, sx, sy, sxx, syy, sxy = weights.sums(np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)).T
    spread = np.sqrt(np.maximum(n * sxx - sx**2, 0)) * np.sqrt(np.maximum(n * syy - sy**2, 0))
    constant = weights.is_constant(x_N) | weights.is_constant(y_N)
    return np.clip(ratio(n * sxy - sx * sy, np.where(constant, 0, spread)), -1, 1)


def round_away(values: Floats) -> Floats:
    """Round to whole numbers, halves away from zero."""
    whole_part = np.trunc(values)
    return np.asarray(whole_part + np.sign(values) * (np.abs(values - whole_part) >= 0.5), np.float64)


def ratio(part: Floats, total: Floats) -> Floats:
    """part / total, NaN where total is 0."""
    undefined = np.full(np.shape(part), np.nan)
    return np.asarray(np.divide(part, total, out=undefined, where=np.asarray(total) != 0), np.float64)


def _two_sided(name: str, truth_N: Bools, pred_N: Bools, keep_N: Bools, weights: Weights) -> dict[str, Floats]:
    cells = np.where(keep_N, truth_N * 2 + pred_N, 4)
    conf_BCC = weights.cells(cells, 5)[:, :4].reshape(-1, 2, 2)
    hits_BC = np.diagonal(conf_BCC, axis1=1, axis2=2)
    n_BC, predicted_BC, total_B = conf_BCC.sum(axis=2), conf_BCC.sum(axis=1), conf_BCC.sum(axis=(1, 2))
    f1_BC = one_vs_rest(hits_BC, n_BC, predicted_BC, total_B)["f1"]
    return {
        f"acc2_{name}": ratio(hits_BC.sum(axis=1), total_B),
        f"f1_{name}": weighted_f1(f1_BC, n_BC),
        f"legacy_f1_{name}": weighted_f1(f1_BC, predicted_BC),
    }


def _any(there_NC: Bools) -> Bools:
    """The classes (C,) that are there at all."""
    return np.asarray(there_NC.any(axis=0), np.bool_)


def _both(there_NC: Bools) -> Bools:
    """The classes (C,) that are there in some samples and not in others."""
    return np.asarray(there_NC.any(axis=0) & ~there_NC.all(axis=0), np.bool_)


def _n_of_class(truth_NC: Bools, pred_NC: Bools) -> dict[str, Ints]:
    n, predicted = truth_NC.sum(axis=0), pred_NC.sum(axis=0)
    everything = np.full(truth_NC.shape[1], len(truth_NC))
    either = (truth_NC | pred_NC).sum(axis=0)
    return {"precision": predicted, "recall": n, "f1": either, "balanced_accuracy": everything, "auroc": everything}


def _bins(values: Floats, limit: int) -> Floats:
    return np.asarray(np.round(np.clip(values, -limit, limit)), np.float64)


def _centred(values: Floats) -> Floats:
    """Shifted and scaled into [-1, 1], which the correlation does not notice and its sums of squares do."""
    centred = values - values.mean()
    largest = np.abs(centred).max()
    return np.asarray(centred / largest if largest > 0 else centred, np.float64)
