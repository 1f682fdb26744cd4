"""What every registered model promises; a new model passes these tests by being in the registry."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from affect_models.data.batch import Batch, Output, Streams
from affect_models.nets.registry import MODELS, build_model
from affect_models.training.losses import LossConfig, task_loss, total_loss
from mosei_schemas.errors import ConfigError

NAMES = ("text", "audio", "video")
WIDTHS = {
    "all": {"text": 7, "audio": 5, "video": 4},
    "no_video": {"text": 7, "audio": 5, "video": 0},
    "text_only": {"text": 7, "audio": 0, "video": 0},
    "audio_only": {"text": 0, "audio": 5, "video": 0},
}

pytestmark = pytest.mark.parametrize("name", sorted(MODELS))
over_widths = pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)


@pytest.fixture
def build(small):
    def make(name, widths, kind="multiclass", outputs=4, **changes) -> nn.Module:
        config = small.get(name, {}) | changes
        return build_model(name, config, widths, outputs, kind, condition_classes=4)

    return make


def fill(batch: Batch, where: dict[str, torch.Tensor], value: float) -> Batch:
    """The batch with other features at the places where `where` (B, L) is true."""
    changed = {}
    for name in NAMES:
        x = batch.features(name)
        other = torch.full_like(x, value) if value != value else value * torch.randn_like(x)
        changed[name] = torch.where(where[name][..., None], other, x)
    return replace(batch, **changed)


def run(model: nn.Module, batch: Batch, training: bool) -> Output:
    torch.manual_seed(5)
    return model.train(training)(batch, Streams.seeded(1))


def assert_same(one: Output, other: Output) -> None:
    assert torch.equal(one.prediction, other.prediction)
    for mine, theirs in ((one.aux_losses, other.aux_losses), (one.diagnostics, other.diagnostics)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@over_widths
@pytest.mark.parametrize("value", [1.0, 1e6, float("nan")])
@pytest.mark.parametrize("training", [False, True])
def test_padded_and_masked_values_mean_nothing(name, build, make_batch, widths, value, training):
    model, batch = build(name, widths), make_batch(dims=widths)
    changed = fill(batch, {m: ~batch.frame_mask[m] for m in NAMES}, value)
    assert_same(run(model, batch, training), run(model, changed, training))


@over_widths
def test_more_padding_changes_nothing(name, build, make_batch, widths):
    model, batch = build(name, widths), make_batch(dims=widths)
    size = len(batch.valid)
    for extra in (1, 2, 7):
        longer = replace(
            batch,
            **{m: torch.cat([batch.features(m), torch.randn(size, extra, widths[m])], dim=1) for m in NAMES},
            valid=nn.functional.pad(batch.valid, (0, extra)),
            frame_mask={m: nn.functional.pad(batch.frame_mask[m], (0, extra)) for m in NAMES},
        )
        short, long = run(model, batch, False), run(model, longer, False)
        torch.testing.assert_close(short.prediction, long.prediction, rtol=1e-5, atol=1e-5)


@over_widths
def test_a_segment_does_not_depend_on_its_neighbours(name, build, make_batch, widths):
    model, batch = build(name, widths), make_batch(dims=widths)
    alone = Batch(
        *(batch.features(m)[2:3] for m in NAMES),
        valid=batch.valid[2:3],
        frame_mask={m: batch.frame_mask[m][2:3] for m in NAMES},
        present=batch.present[2:3],
    )
    whole = run(model, batch, False).prediction[2:3]
    torch.testing.assert_close(whole, run(model, alone, False).prediction, rtol=1e-5, atol=1e-5)


@over_widths
def test_an_absent_modality_has_no_content(name, build, make_batch, widths):
    model, batch = build(name, widths), make_batch(dims=widths)
    absent = {m: ~batch.present[:, k, None].expand_as(batch.valid) for k, m in enumerate(NAMES)}
    assert any(where.any() for where in absent.values())
    for training in (False, True):
        assert_same(run(model, batch, training), run(model, fill(batch, absent, 3.0), training))


@over_widths
def test_an_observed_value_does_matter(name, build, make_batch, widths):
    model, batch = build(name, widths), make_batch(dims=widths)
    changed = fill(batch, batch.frame_mask, 3.0)
    assert not torch.allclose(run(model, batch, False).prediction, run(model, changed, False).prediction)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_predictions_do_not_see_the_targets(name, build, make_batch, kind):
    model = build(name, WIDTHS["all"], kind, outputs=1 if kind == "regression" else 4)
    batch = make_batch(kind=kind)
    other = replace(batch, targets=batch.targets.flip(0), condition=batch.condition.flip(0))
    output = run(model, batch, False)
    assert output.prediction.shape == ((8, 4) if kind == "multiclass" else batch.targets.shape)
    assert output.aux_losses == {}
    assert_same(output, run(model, other, False))
    assert_same(output, run(model, batch.without_targets(), False))


@over_widths
@pytest.mark.parametrize("training", [False, True])
def test_nothing_observed_is_finite(name, build, make_batch, widths, training):
    model, batch = build(name, widths), make_batch(dims=widths)
    nothing = replace(
        fill(batch, {m: torch.ones_like(batch.valid) for m in NAMES}, float("nan")),
        frame_mask={m: torch.zeros_like(batch.valid) for m in NAMES},
        present=torch.zeros_like(batch.present),
    )
    output = run(model, nothing, training)
    for tensor in (output.prediction, *output.aux_losses.values(), *output.diagnostics.values()):
        assert tensor.isfinite().all()


def test_two_seeds_give_two_models(name, build):
    torch.manual_seed(1)
    one = build(name, WIDTHS["all"])
    torch.manual_seed(2)
    two = build(name, WIDTHS["all"])
    torch.manual_seed(1)
    again = build(name, WIDTHS["all"])
    differ = [not torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert sum(differ) > len(differ) / 3
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_overfits_32_samples(name, build, make_batch, kind):
    model = build(name, WIDTHS["all"], kind, outputs=1 if kind == "regression" else 4)
    batch, streams, config = make_batch(size=32, kind=kind), Streams.seeded(0), LossConfig()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(120):
        output = model(batch, streams)
        task = task_loss(output.prediction, batch.targets, kind, config)
        loss, _ = total_loss(task, output.aux_losses, epoch=0, config=config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.update_ema()
    prediction = run(model, batch, False).prediction.detach()
    if kind == "multiclass":
        assert (prediction.argmax(1) == batch.targets).float().mean() >= 0.95
    elif kind == "multilabel":
        assert ((prediction > 0) == (batch.targets > 0)).float().mean() >= 0.95
    else:
        assert (prediction - batch.targets).square().mean() < 0.1 * batch.targets.var()


@over_widths
def test_a_saved_model_is_the_same_model(name, build, make_batch, widths, tmp_path: Path):
    model, other, batch = build(name, widths), build(name, widths), make_batch(dims=widths)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for training in (False, True):
        assert_same(run(model, batch, training), run(other, batch, training))


@over_widths
def test_parameters_are_split_in_two(name, build, widths):
    model = build(name, widths)
    classifier, prior = model.classifier_parameters(), model.prior_parameters()
    assert not {id(p) for p in classifier} & {id(p) for p in prior}
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for p in [*classifier, *prior]} == trainable
    counts = model.parameter_counts()
    assert counts["classifier"] == sum(p.numel() for p in classifier)
    assert counts["trainable"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert counts["total"] == sum(p.numel() for p in model.parameters())


def test_unknown_names_and_fields_are_refused(name):
    with pytest.raises(ConfigError, match="nonesuch.*known models.*" + name):
        build_model("nonesuch", None, WIDTHS["all"], 4, "multiclass", 4)
    with pytest.raises(ConfigError, match=name + ".no_such_field"):
        build_model(name, {"no_such_field": 1}, WIDTHS["all"], 4, "multiclass", 4)
