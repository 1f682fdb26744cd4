"""What is done for rare classes, against loops that spell the formulas out."""

from __future__ import annotations

import bisect
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_models.training.balance import class_weights, effective_number, log_prior, segment_chances
from affect_models.training.batches import make_batches
from affect_models.training.config import load_config
from affect_models.training.losses import LossConfig, focal_loss, task_loss
from mosei_schemas.errors import ConfigError

counts = st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(any)


def slow_effective(n: int, beta: float) -> float:
    """1 + beta + ... + beta^(n - 1)."""
    return sum(beta**k for k in range(n))


@given(counts, st.sampled_from([0.0, 0.5, 0.9, 0.999]))
@settings(max_examples=40)
def test_effective_numbers_and_weights_agree_with_a_loop(n, beta):
    expected = [slow_effective(k, beta) for k in n]
    assert effective_number(torch.tensor(n), beta).tolist() == pytest.approx(expected, rel=1e-9)
    inverse = {c: 1 / e for c, e in enumerate(expected) if n[c]}
    mean = sum(inverse.values()) / len(inverse)
    weights = class_weights(torch.tensor(n), "effective", beta)
    assert weights is not None
    assert weights.tolist() == pytest.approx([inverse[c] / mean if c in inverse else 1.0 for c in range(len(n))])


def test_effective_weights_lie_between_none_and_balanced():
    n = torch.tensor([900, 90, 10])
    assert class_weights(n, "effective", 0.0).tolist() == [1.0, 1.0, 1.0]
    nearly = class_weights(n, "effective", 1 - 1e-9)
    balanced = class_weights(n, "balanced")
    assert (nearly / nearly.sum()).tolist() == pytest.approx((balanced / balanced.sum()).tolist(), rel=1e-4)


@given(counts, st.sampled_from(["balanced", "sqrt", "effective"]))
@settings(max_examples=40)
def test_chances_agree_with_a_loop(n, sampling):
    condition = torch.tensor([c for c, k in enumerate(n) for _ in range(k)])
    share = {"balanced": lambda _: 1.0, "sqrt": math.sqrt, "effective": lambda k: k / slow_effective(k, 0.9)}[sampling]
    whole = sum(share(k) for k in n if k)
    chances = segment_chances(condition, sampling, 0.9)
    assert chances is not None
    for c, k in enumerate(n):
        if k:
            assert chances[condition == c].sum().item() == pytest.approx(share(k) / whole)
            assert chances[condition == c].tolist() == pytest.approx([share(k) / whole / k] * k)
    assert segment_chances(condition, "shuffle") is None


def test_drawing_is_the_inverse_transform():
    chances = segment_chances(torch.tensor([0] * 90 + [1] * 9 + [2]), "balanced")
    config = load_config(None, ["train.batch_size=16"], {})
    lengths = torch.randint(1, 9, (100,))
    drawn = make_batches(lengths, config, torch.Generator().manual_seed(3), chances)
    edges = list(itertools.accumulate(chances.tolist()))
    u = torch.rand(100, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = [min(bisect.bisect_right(edges, x), 99) for x in u.tolist()]
    assert torch.cat(drawn).tolist() == expected
    assert [len(batch) for batch in drawn] == [16] * 6 + [4]
    again = make_batches(lengths, config, torch.Generator().manual_seed(3), chances)
    assert all(torch.equal(one, other) for one, other in zip(drawn, again, strict=True))


def test_every_class_is_drawn_as_often():
    condition = torch.tensor([0] * 2900 + [1] * 90 + [2] * 10)
    chances = segment_chances(condition, "balanced")
    config = load_config(None, ["train.buckets=4"], {})
    drawn = torch.cat(make_batches(torch.ones(3000).long(), config, torch.Generator().manual_seed(0), chances))
    seen = condition[drawn].bincount(minlength=3)
    # 3000 draws of chance 1/3: a standard deviation of 26.
    assert all(abs(n - 1000) < 110 for n in seen.tolist())


def test_the_prior_is_that_of_what_is_drawn():
    target = torch.tensor([0] * 6 + [1] * 3)
    plain = log_prior(target, 3, None)
    whole = 6 + 3 + 0.5
    assert plain.exp().tolist() == pytest.approx([6 / whole, 3 / whole, 0.5 / whole])
    drawn = log_prior(target, 3, segment_chances(target, "balanced"))
    assert drawn.exp().tolist() == pytest.approx([4.5 / whole, 4.5 / whole, 0.5 / whole])


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_logit_adjustment_agrees_with_a_loop(tau):
    logits, target = torch.randn(12, 3), torch.randint(3, (12,))
    prior = [0.7, 0.25, 0.05]
    total = 0.0
    for row, y in zip(logits.tolist(), target.tolist(), strict=True):
        shifted = [v + tau * math.log(p) for v, p in zip(row, prior, strict=True)]
        total -= shifted[y] - math.log(sum(math.exp(v) for v in shifted))
    shift = tau * torch.tensor(prior).log()
    loss = task_loss(logits, target, "multiclass", LossConfig(gamma=0, label_smoothing=0), shift_C=shift)
    assert loss.item() == pytest.approx(total / 12, rel=1e-5)
    assert torch.equal(
        task_loss(logits, target, "multiclass", LossConfig()), focal_loss(logits, target, gamma=2.0, smoothing=0.1)
    )


def test_logit_adjustment_finds_the_balanced_classifier():
    """On one informative binary feature: the plain loss learns the prior as a bias, the adjusted one does not."""
    x = torch.tensor([[1.0]] * 90 + [[-1.0]] * 10 + [[1.0]] * 2 + [[-1.0]] * 8)
    y = torch.tensor([0] * 100 + [1] * 10)
    found = []
    for shift in (None, log_prior(y, 2, None)):
        slope, bias = torch.zeros(1, 2, requires_grad=True), torch.zeros(2, requires_grad=True)
        for _ in range(700):
            config = LossConfig(gamma=0, label_smoothing=0)
            loss = task_loss(x @ slope + bias, y, "multiclass", config, shift_C=shift)
            for parameter, gradient in zip((slope, bias), torch.autograd.grad(loss, (slope, bias)), strict=True):
                parameter.data -= 4 * gradient
        with torch.no_grad():
            found.append((torch.tensor([[1.0], [-1.0]]) @ slope + bias).softmax(-1)[:, 1].tolist())
    posterior = [2 / 92, 8 / 18]  # P(y = 1 | x)
    likelihood = [0.2 / (0.2 + 0.9), 0.8 / (0.8 + 0.1)]  # P(x | 1) / (P(x | 0) + P(x | 1))
    assert found[0] == pytest.approx(posterior, abs=1e-3)
    assert found[1] == pytest.approx(likelihood, abs=1e-3)


@pytest.mark.parametrize("task", ["sentiment", "emotion-multilabel"])
def test_logit_adjustment_needs_one_class_a_segment(task):
    with pytest.raises(ConfigError, match=rf"loss\.logit_adjustment: {task} does not have one class"):
        load_config(None, ["loss.logit_adjustment=1", f"task={task}"], {})
