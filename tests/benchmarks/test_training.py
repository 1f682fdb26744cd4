"""Gathering batches beside the step that uses them; run with `make bench`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import say

from affect_models.data.batch import Streams
from affect_models.data.device import DeviceData
from affect_models.data.packed import PackedPart
from affect_models.data.tasks import TaskPart
from affect_models.nets.registry import build_model
from affect_models.training.augment import AugmentConfig, augment
from affect_models.training.losses import LossConfig, task_loss, total_loss

DIMS = {"text": 300, "audio": 74, "video": 35}


def random_part(segments: int = 512) -> TaskPart:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 51, segments)
    steps = int(lengths.sum())
    names = [f"s{k}" for k in range(segments)]
    packed = PackedPart(
        part="train",
        segment_id=names,
        video_id=names,
        group=names,
        labels=np.zeros((segments, 7), np.float32),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        features={m: rng.standard_normal((steps, d), np.float32) for m, d in DIMS.items()},
        observed={m: rng.random(steps) < 0.9 for m in DIMS},
        steps_cut=0,
        segments_cut=0,
    )
    targets = rng.integers(0, 6, segments)
    classes = ("a", "b", "c", "d", "e", "f")
    return TaskPart(packed, targets, classes, targets, classes, {})


def test_data_handling_as_a_share_of_a_step(benchmark: Any, tmp_path: Path) -> None:
    """Gather, pad, mask and augment a batch of 64, beside the whole step."""
    data = DeviceData.of(random_part(), 50, torch.device("cpu"))
    streams = Streams.seeded(0)
    network = build_model("affect-diff", None, DIMS, 6, "multiclass", 6)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    chosen = torch.randperm(len(data))[:64]

    def gather() -> Any:
        return augment(data.batch(chosen), streams, AugmentConfig())

    def step() -> None:
        batch = gather()
        output = network(batch, streams)
        task = task_loss(output.prediction, batch.targets, "multiclass", LossConfig())
        loss, _ = total_loss(task, output.aux_losses, 30, LossConfig())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    benchmark(gather)
    times = {}
    for name, work, rounds in (("gather", gather, 20), ("step", step, 4)):
        began = time.perf_counter()
        for _ in range(rounds):
            work()
        times[name] = (time.perf_counter() - began) / rounds
    say("gathering and augmenting a batch of 64", times["gather"], times["step"], "a whole training step", limit=0.05)
