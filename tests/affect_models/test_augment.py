"""Augmentation of a batch."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_models.data.batch import Streams
from affect_models.training.augment import AugmentConfig, augment

NAMES = ("text", "audio", "video")
NOTHING = AugmentConfig(frame_mask=0, noise_std=0, modality_dropout=0)
shares = st.sampled_from([0.0, 0.1, 0.7, 1.0])


def masks(batch) -> torch.Tensor:
    return torch.stack([batch.frame_mask[m] for m in NAMES], dim=1)


@given(st.integers(0, 999), shares, shares)
@settings(max_examples=60)
def test_only_takes_away_and_never_everything(make_batch, seed, frame_mask, modality_dropout):
    batch = make_batch(seed=seed)
    config = AugmentConfig(frame_mask=frame_mask, modality_dropout=modality_dropout)
    changed = augment(batch, Streams.seeded(seed), config)
    before, after = masks(batch), masks(changed)
    assert not (after & ~before).any()
    assert torch.equal(after.flatten(1).any(1), before.flatten(1).any(1))
    assert torch.equal(changed.present, after.any(2))
    assert torch.equal(changed.valid, batch.valid)
    assert torch.equal(changed.targets, batch.targets)


def test_everything_off_changes_nothing(make_batch):
    batch = make_batch()
    changed = augment(batch, Streams.seeded(0), NOTHING)
    assert torch.equal(masks(changed), masks(batch))
    assert torch.equal(changed.present, batch.present)
    assert all(torch.equal(changed.features(m), batch.features(m)) for m in NAMES)


def test_the_last_of_everything_survives(make_batch):
    batch = make_batch(size=64)
    one_modality = augment(batch, Streams.seeded(0), replace_config(modality_dropout=1.0))
    assert (one_modality.present.sum(1) == 1).all()
    assert len(one_modality.present.int().argmax(1).unique()) == 3  # not always the same one
    one_step = augment(batch, Streams.seeded(0), replace_config(frame_mask=1.0))
    assert (masks(one_step).flatten(1).sum(1) == 1).all()


def test_a_segment_of_nothing_stays_one(make_batch):
    batch = make_batch()
    empty = replace(
        batch,
        frame_mask={m: torch.zeros_like(batch.valid) for m in NAMES},
        present=torch.zeros_like(batch.present),
    )
    changed = augment(empty, Streams.seeded(0), AugmentConfig(frame_mask=1.0, modality_dropout=1.0))
    assert not masks(changed).any()
    assert not changed.present.any()


def test_a_modality_that_is_not_present_stays_away(make_batch):
    batch = make_batch()
    said_absent = replace(batch, present=batch.present & torch.tensor([True, False, True]))
    assert not augment(said_absent, Streams.seeded(0), NOTHING).present[:, 1].any()


def test_rates(make_batch):
    batch = make_batch(size=600, steps=20)
    frames = augment(batch, Streams.seeded(0), replace_config(frame_mask=0.1))
    kept = masks(frames).sum() / masks(batch).sum()
    assert kept.item() == pytest.approx(0.9, abs=0.01)
    modalities = augment(batch, Streams.seeded(0), replace_config(modality_dropout=0.1))
    assert (modalities.present.sum() / batch.present.sum()).item() == pytest.approx(0.9, abs=0.03)


def test_noise_falls_on_observed_audio_and_video(make_batch):
    batch = make_batch(size=200)
    changed = augment(batch, Streams.seeded(0), replace_config(noise_std=0.01))
    assert torch.equal(changed.text, batch.text)
    for name in ("audio", "video"):
        change = changed.features(name) - batch.features(name)
        assert (change[~batch.frame_mask[name]] == 0).all()
        assert change[batch.frame_mask[name]].std().item() == pytest.approx(0.01, rel=0.05)


def test_draws_from_its_own_stream_only(make_batch):
    batch, streams = make_batch(), Streams.seeded(3)
    state, posterior = torch.random.get_rng_state(), streams.posterior.get_state()
    first = augment(batch, streams, AugmentConfig())
    second = augment(batch, streams, AugmentConfig())
    again = augment(batch, Streams.seeded(3), AugmentConfig())
    assert torch.equal(first.audio, again.audio)
    assert torch.equal(masks(first), masks(again))
    assert not torch.equal(first.audio, second.audio)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(streams.posterior.get_state(), posterior)


def test_the_given_batch_is_left_alone(make_batch):
    batch, copy = make_batch(seed=4), make_batch(seed=4)
    augment(batch, Streams.seeded(0), AugmentConfig(frame_mask=0.9, modality_dropout=0.9, noise_std=1.0))
    assert torch.equal(masks(batch), masks(copy))
    assert torch.equal(batch.audio, copy.audio)


def test_a_modality_of_width_0(make_batch):
    batch = make_batch(dims={"text": 7, "audio": 0, "video": 4})
    changed = augment(batch, Streams.seeded(0), AugmentConfig())
    assert changed.audio.shape == batch.audio.shape
    assert not changed.present[:, 1].any()


def replace_config(**changes) -> AugmentConfig:
    return NOTHING.model_copy(update=changes)
