"""Affect-Diff as a whole: its size, its switches, and what the prior can and cannot do."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from affect_models.data.batch import Streams
from affect_models.nets.affect_diff import AffectDiff, AffectDiffConfig
from affect_models.nets.layers import MaskedGroupNorm, Transformer, attendable, masked_mean, sinusoidal
from affect_models.training.losses import LossConfig, task_loss, total_loss

NAMES = ("text", "audio", "video")
PAPER = {"text": 300, "audio": 74, "video": 35}
LATE = 100
"""An epoch in which every ramp is at 1."""


@pytest.fixture
def build(small, dims):
    def make(seed=0, kind="multiclass", **changes) -> AffectDiff:
        torch.manual_seed(seed)
        return AffectDiff(AffectDiffConfig(**small["affect-diff"] | changes), dims, 4, kind, 4)

    return make


def objective(model, batch, streams, keep=("kl", "graph", "diffusion")):
    output = model.train()(batch, streams)
    task = task_loss(output.prediction, batch.targets, "multiclass", LossConfig())
    losses = {name: loss for name, loss in output.aux_losses.items() if name in keep}
    return total_loss(task, losses, LATE, LossConfig())[0]


def classifier_gradients(model, batch, keep=("kl", "graph", "diffusion")):
    torch.manual_seed(7)
    model.zero_grad()
    objective(model, batch, Streams.seeded(2), keep).backward()
    return [p.grad.clone() for p in model.classifier_parameters()]


def test_size_is_the_papers():
    whole = AffectDiff(AffectDiffConfig(), PAPER, 6, "multiclass", 6).parameter_counts()
    bare = AffectDiff(AffectDiffConfig(diffusion=False), PAPER, 6, "multiclass", 6).parameter_counts()
    assert whole == {"classifier": 1_472_966, "trainable": 5_197_254, "total": 8_921_542}
    assert bare == {"classifier": 1_472_966, "trainable": 1_472_966, "total": 1_472_966}
    for counted, published in zip((*bare.values(), *whole.values()), (1.47, 1.47, 1.47, 1.47, 5.19, 8.92), strict=True):
        assert counted / 1e6 == pytest.approx(published, abs=0.02)


def test_the_prior_has_no_say_in_the_classifier(build, make_batch):
    batch = make_batch()
    with_prior = classifier_gradients(build(), batch)
    without_loss = classifier_gradients(build(), batch, keep=("kl", "graph"))
    without_prior = classifier_gradients(build(diffusion=False), batch)
    for mine, silent, bare in zip(with_prior, without_loss, without_prior, strict=True):
        assert (mine - silent).abs().max() == 0
        assert (mine - bare).abs().max() == 0


def test_without_the_stop_gradient_it_has(build, make_batch):
    batch = make_batch()
    flowing = classifier_gradients(build(stop_gradient=False), batch)
    stopped = classifier_gradients(build(), batch)
    assert max(float((a - b).abs().max()) for a, b in zip(flowing, stopped, strict=True)) > 1e-6


def test_training_with_and_without_the_prior_is_bit_equal(build, make_batch):
    trained = []
    for diffusion in (True, False):
        model, streams = build(diffusion=diffusion), Streams.seeded(2)
        groups = [model.classifier_parameters(), model.prior_parameters()]
        optimizer = torch.optim.AdamW([p for group in groups for p in group], lr=1e-3)
        torch.manual_seed(7)
        for seed in range(4):
            optimizer.zero_grad()
            objective(model, make_batch(seed=seed), streams).backward()
            for group in groups:
                torch.nn.utils.clip_grad_norm_(group, 1.0)
            optimizer.step()
            model.update_ema()
        trained.append(model)
    for mine, bare in zip(trained[0].classifier_parameters(), trained[1].classifier_parameters(), strict=True):
        assert torch.equal(mine, bare)


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ({}, {"kl", "diffusion", "graph"}),
        ({"diffusion": False}, {"kl", "graph"}),
        ({"vae": False}, {"diffusion", "graph"}),
        ({"graph": "none"}, {"kl", "diffusion"}),
        ({"graph": "gumbel", "gumbel_temperature": 0.5}, {"kl", "diffusion", "graph"}),
        ({"stop_gradient": False}, {"kl", "diffusion", "graph"}),
        ({"diffusion": False, "graph": "none", "vae": False}, set()),
        ({"d_z": 24, "logvar_max": 2.0}, {"kl", "diffusion", "graph"}),
    ],
)
def test_every_switch_trains_a_step(build, make_batch, changes, losses):
    model, batch = build(**changes), make_batch()
    before = [p.detach().clone() for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    output = model.train()(batch, Streams.seeded(0))
    assert set(output.aux_losses) == losses
    assert all(loss.isfinite() and loss.ndim == 0 for loss in output.aux_losses.values())
    objective(model, batch, Streams.seeded(0)).backward()
    optimizer.step()
    after = [p for p in model.parameters() if p.requires_grad]
    assert all(p.isfinite().all() for p in after)
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(changed) / len(changed) > 0.95


@pytest.mark.parametrize("changes", [{"vae": False}, {"graph": "none"}, {"diffusion": False}])
def test_switches_leave_the_other_weights_as_they_were(build, changes):
    whole, other = build().state_dict(), build(**changes).state_dict()
    shared = [key for key in other if key.startswith(("encoders.", "fusion.", "to_mu.", "head."))]
    assert shared
    assert all(torch.equal(whole[key], other[key]) for key in shared)


def test_the_posterior_is_sampled_in_training_only(build, make_batch):
    model, batch = build(dropout=0.0, head_dropout=0.0), make_batch()

    def predict(seed):
        return model(batch, Streams.seeded(seed)).prediction

    model.train()
    assert torch.equal(predict(1), predict(1))
    assert not torch.equal(predict(1), predict(2))
    model.eval()
    assert torch.equal(predict(1), predict(2))
    plain = build(dropout=0.0, head_dropout=0.0, vae=False)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("to_logvar.")})
    assert torch.equal(plain.train()(batch, Streams.seeded(1)).prediction, predict(1))  # z = mu


@pytest.mark.parametrize("graph", ["sigmoid", "gumbel", "none"])
def test_gradients_are_finite_and_masked_steps_have_none(build, make_batch, graph):
    batch = make_batch()
    masks = {m: batch.frame_mask[m].clone() for m in NAMES}
    for mask in masks.values():
        mask[4] = False  # a segment without anything
    batch = replace(
        batch,
        **{m: batch.features(m).masked_fill(~masks[m][..., None], torch.nan).requires_grad_() for m in NAMES},
        frame_mask=masks,
        present=torch.stack([masks[m].any(1) for m in NAMES], dim=1),
    )
    batch = replace(batch, valid=batch.valid & (torch.arange(8) != 5)[:, None])  # and one without any step
    model = build(graph=graph, stop_gradient=False)
    objective(model, batch, Streams.seeded(0)).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    for name in NAMES:
        gradient, observed = batch.features(name).grad, masks[name] & batch.valid
        assert (gradient[~observed] == 0).all()
        assert (gradient[observed].abs().sum(-1) > 0).any()


def test_absent_modalities_weigh_nothing(build, make_batch):
    batch = make_batch()
    output = build().eval()(batch)
    weight = output.diagnostics["modality_weight"]
    assert torch.equal(weight > 0, batch.present)
    torch.testing.assert_close(weight.sum(1), torch.ones(8))
    assert (output.diagnostics["step_weight"][~batch.valid] == 0).all()
    assert not any(tensor.requires_grad for tensor in output.diagnostics.values())


def test_saying_absent_is_enough(build, make_batch):
    batch, model = make_batch(), build().eval()
    present = batch.present & torch.tensor([True, False, True])
    masks = batch.frame_mask | {"audio": torch.zeros_like(batch.valid)}
    said, masked = replace(batch, present=present), replace(batch, present=present, frame_mask=masks)
    assert torch.equal(model(said).prediction, model(masked).prediction)
    assert not torch.equal(model(said).prediction, model(batch).prediction)


def test_a_missing_modality_has_no_parameters(small):
    config = AffectDiffConfig(**small["affect-diff"])
    model = AffectDiff(config, {"text": 7, "audio": 0, "video": 0}, 4, "multiclass", 4)
    assert not any("audio" in name or "video" in name for name, _ in model.named_parameters())


def test_latents_are_drawn_from_the_prior(build):
    model = build()
    label, w, valid = torch.tensor([0, 3]), torch.full((2, 3), 1 / 3), torch.arange(6)[None] < torch.tensor([[6], [2]])
    z = model.sample_latent(label, w, valid, torch.Generator().manual_seed(0))
    assert z.shape == (2, 6, 16)
    assert z.isfinite().all()
    assert (z[1, 2:] == 0).all()
    assert torch.equal(z, model.sample_latent(label, w, valid, torch.Generator().manual_seed(0)))
    assert not torch.equal(z, model.sample_latent(label.flip(0), w, valid, torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="diffusion = false"):
        build(diffusion=False).sample_latent(label, w, valid)


@pytest.mark.parametrize(
    "changes",
    [{"hidden": 30}, {"hidden": 32, "heads": 5}, {"logvar_min": 6.0}, {"ddim_steps": 2000}, {"unet_channels": 12}],
)
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(ValidationError):
        AffectDiffConfig(**changes)


def test_masked_group_norm_agrees_with_the_plain_one():
    norm, plain = MaskedGroupNorm(4, 8), torch.nn.GroupNorm(4, 8)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(8))
        norm.bias.copy_(torch.randn(8))
    plain.load_state_dict(norm.state_dict())
    x = 5 + torch.randn(3, 8, 6)
    for length in (1, 4, 6):
        mask = (torch.arange(6) < length).expand(3, 6)
        torch.testing.assert_close(norm(x, mask)[..., :length], plain(x[..., :length]), rtol=1e-4, atol=1e-4)
        assert (norm(x, mask)[..., length:] == 0).all()


def test_transformer_sees_observed_steps_only():
    net = Transformer(2, 16, 2, 32, 0.0)
    x, mask = torch.randn(2, 5, 16), torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    out = net(x, mask)
    kept = mask[0].nonzero()[:, 0]
    torch.testing.assert_close(out[0, kept], net(x[:1, kept], torch.ones(1, 3).bool())[0], rtol=1e-5, atol=1e-5)
    assert (out[~mask] == 0).all()
    assert (masked_mean(x, mask)[1] == 0).all()
    torch.testing.assert_close(masked_mean(x, mask)[0], x[0, kept].mean(0))


def test_a_row_without_keys_attends_to_everything():
    mask = torch.tensor([[True, False], [False, False]])
    assert attendable(mask).tolist() == [[True, False], [True, True]]


def test_sinusoidal_by_hand():
    table = sinusoidal(torch.tensor([0, 3]), 4)
    expected = torch.tensor([3.0, 0.03])
    torch.testing.assert_close(
        table, torch.stack([torch.tensor([0.0, 0, 1, 1]), torch.cat([expected.sin(), expected.cos()])])
    )
