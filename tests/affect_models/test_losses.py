"""The losses against loops that spell the formulas out."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_models.nets.bottleneck import free_bits_kl, gaussian_kl
from affect_models.training.balance import class_weights
from affect_models.training.losses import (
    LossConfig,
    aux_weight,
    focal_bce,
    focal_loss,
    task_loss,
    total_loss,
)
from affect_models.training.schedules import cosine_factor, ramp

seeds = st.integers(0, 10_000)


def slow_focal(logits, target, gamma, smoothing, weights):
    total = norm = 0.0
    for row, y in zip(logits.tolist(), target.tolist(), strict=True):
        denominator = sum(math.exp(v) for v in row)
        p = [math.exp(v) / denominator for v in row]
        entropy = 0.0
        for c in range(len(row)):
            q = smoothing / len(row) + (1 - smoothing if c == y else 0.0)
            entropy -= q * math.log(p[c])
        total += weights[y] * (1 - p[y]) ** gamma * entropy
        norm += weights[y]
    return total / norm


@given(seeds, st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([0.0, 0.1]), st.booleans())
@settings(max_examples=40)
def test_focal_agrees_with_a_loop(seed, gamma, smoothing, weighted):
    g = torch.Generator().manual_seed(seed)
    logits, target = 2 * torch.randn(9, 5, generator=g), torch.randint(5, (9,), generator=g)
    weight = torch.rand(5, generator=g) + 0.1 if weighted else None
    expected = slow_focal(logits, target, gamma, smoothing, weight.tolist() if weighted else [1.0] * 5)
    assert focal_loss(logits, target, gamma=gamma, smoothing=smoothing, weight_C=weight).item() == pytest.approx(
        expected, rel=1e-4
    )


def test_focal_without_gamma_is_cross_entropy():
    logits, target, weight = torch.randn(20, 6), torch.randint(6, (20,)), torch.rand(6)
    plain = F.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(focal_loss(logits, target, gamma=0, smoothing=0.1), plain)
    weighted = F.cross_entropy(logits, target, weight=weight)
    torch.testing.assert_close(focal_loss(logits, target, gamma=0, smoothing=0, weight_C=weight), weighted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_certain_prediction_has_finite_gradients(gamma):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 0]), gamma=gamma, smoothing=0.1)
    loss = loss + focal_bce(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), gamma=gamma)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_focal_bce_agrees_with_a_loop(gamma, weighted):
    logits, target = torch.randn(7, 3), (torch.rand(7, 3) < 0.4).float()
    weight = [0.5, 2.0, 1.0] if weighted else [1.0] * 3
    total = 0.0
    for b in range(7):
        for c in range(3):
            p = 1 / (1 + math.exp(-logits[b, c].item()))
            p_t = p if target[b, c] else 1 - p
            total -= weight[c] * (1 - p_t) ** gamma * math.log(p_t)
    loss = focal_bce(logits, target, gamma=gamma, weight_C=torch.tensor(weight) if weighted else None)
    assert loss.item() == pytest.approx(total / (7 * sum(weight)), rel=1e-4)


def test_huber_turns_linear_at_beta():
    config = LossConfig(huber_beta=0.5)
    loss = task_loss(torch.tensor([0.2, 3.0]), torch.zeros(2), "regression", config)
    assert loss.item() == pytest.approx((0.5 * 0.2**2 / 0.5 + (3.0 - 0.25)) / 2)


def test_task_loss_uses_the_config():
    logits, target = torch.randn(5, 3), torch.randint(3, (5,))
    config, weight = LossConfig(gamma=1.0, label_smoothing=0.2), torch.tensor([1.0, 2.0, 3.0])
    expected = focal_loss(logits, target, gamma=1.0, smoothing=0.2, weight_C=weight)
    assert torch.equal(task_loss(logits, target, "multiclass", config, weight), expected)
    labels = F.one_hot(target, 3).float()
    expected = focal_bce(logits, labels, gamma=1.0)
    assert torch.equal(task_loss(logits, labels, "multilabel", config), expected)


def test_class_weights():
    counts = torch.tensor([60, 30, 10])
    assert class_weights(counts, "none") is None
    balanced = class_weights(counts, "balanced")
    assert balanced.tolist() == pytest.approx([100 / 180, 100 / 90, 100 / 30])
    assert (balanced * counts).sum().item() == pytest.approx(100)  # the mean over samples is 1
    assert class_weights(counts, "sqrt").tolist() == pytest.approx(balanced.sqrt().tolist())
    assert class_weights(torch.tensor([5, 0]), "balanced").tolist() == pytest.approx([0.5, 1.0])
    assert class_weights(torch.tensor([0, 0]), "sqrt").tolist() == [1.0, 1.0]


@given(seeds, st.sampled_from([0.0, 0.25, 1.0]))
@settings(max_examples=30)
def test_free_bits_kl_agrees_with_a_loop(seed, free_bits):
    g = torch.Generator().manual_seed(seed)
    mu, logvar = torch.randn(3, 4, 5, generator=g), torch.randn(3, 4, 5, generator=g)
    valid = torch.rand(3, 4, generator=g) < 0.7
    total, steps = 0.0, 0
    for b in range(3):
        for step in range(4):
            if not valid[b, step]:
                continue
            steps += 1
            for d in range(5):
                m, v = mu[b, step, d].item(), logvar[b, step, d].item()
                total += max(0.0, 0.5 * (m * m + math.exp(v) - 1 - v) - free_bits)
    kl = free_bits_kl(gaussian_kl(mu, logvar), valid, free_bits)
    assert kl.item() == pytest.approx(total / max(steps, 1), rel=1e-4, abs=1e-6)


def test_gaussian_kl_agrees_with_torch():
    mu, logvar = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mu, logvar), expected, rtol=1e-5, atol=1e-5)


def test_ramps():
    assert [ramp(e, 20) for e in (0, 1, 10, 20, 40)] == [0.0, 0.05, 0.5, 1.0, 1.0]
    assert ramp(0, 0) == 1.0
    config = LossConfig(aux_weights={"reconstruction": 0.3})
    assert aux_weight("kl", 15, config) == 0.5
    assert aux_weight("diffusion", 10, config) == pytest.approx(0.025)
    assert aux_weight("graph", 0, config) == 0.05
    assert aux_weight("reconstruction", 0, config) == 0.3
    assert aux_weight("other", 0, config) == 1.0


def test_total_is_equation_12():
    parts = {"kl": torch.tensor(2.0), "diffusion": torch.tensor(3.0), "graph": torch.tensor(5.0)}
    total, named = total_loss(torch.tensor(1.0, requires_grad=True), parts, epoch=10, config=LossConfig())
    assert total.item() == pytest.approx(1 + 2 / 3 + 0.5 * 0.05 * 3 + 0.05 * 5)
    assert {name: value.item() for name, value in named.items()} == {"task": 1, "kl": 2, "diffusion": 3, "graph": 5}
    assert total.requires_grad
    assert not named["task"].requires_grad


def test_cosine_factor():
    assert cosine_factor(0, 100) == 1.0
    assert cosine_factor(50, 100) == pytest.approx(0.5)
    assert cosine_factor(100, 100) == cosine_factor(170, 100) == 0.0
    assert cosine_factor(0, 0) == 1.0
