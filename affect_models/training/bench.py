"""How fast a training steps on this machine, beside the same model in the plain loop that one would write first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, RandomSampler

from affect_models.data.batch import Batch
from affect_models.data.device import BatchSource, device_data
from affect_models.data.segments import SegmentDataset, collate
from affect_models.training.augment import augment
from affect_models.training.batches import Emphasis
from affect_models.training.cohort import check_stackable
from affect_models.training.config import RunConfig
from affect_models.training.devices import choose_device, environment
from affect_models.training.distributed import ALONE
from affect_models.training.loading import Loaded, load
from affect_models.training.losses import task_loss, total_loss
from affect_models.training.stacked import Stack
from affect_models.training.state import TrainingState
from affect_models.training.step import Stepper, clip
from affect_models.training.trainer import Plan
from mosei_schemas.errors import ConfigError
from mosei_schemas.manifest import Strict

ROUNDS = 3
"""Each measurement is repeated so often, in turns; the median counts."""
EPOCH = 30
"""The epoch that the schedules stand at: every loss is phased in."""
_PLACED = 50
"""Numbers of so many batches are put where the batches are made at once, as `fit` does it with those of an epoch."""


class BatchFigures(Strict):
    """What was measured at one batch size."""

    batch_size: int
    steps_per_s: float
    segments_per_s: float
    plain_steps_per_s: float
    """Of a `DataLoader` over a `SegmentDataset` and a step in eager mode, fp32, padded to the longest of each batch."""
    ratio: float
    """steps_per_s / plain_steps_per_s."""
    data_share: float
    """Share of a step that goes into gathering, padding and augmenting its segments."""
    peak_memory_mb: float | None
    """Of this training on a CUDA device; None elsewhere."""


class SeedFigures(Strict):
    """Several seeds in one step, beside the same number of steps one after another."""

    seeds: int
    batch_size: int
    steps_per_s: float
    cost: float
    """Time of a step of all seeds / (seeds * time of a step of one); below 1 it pays to train them at once."""


class BenchReport(Strict):
    """Everything that `affect bench` prints."""

    environment: dict[str, str]
    precision: str
    compile: str
    segments: int
    mean_steps: float
    max_steps: int
    widths: dict[str, int]
    batches: list[BatchFigures]
    seeds: SeedFigures | None


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share.

    Attributes:
        loaded: data and configuration.
        data: train, where steps want it.
        state: a training, which the steps move on.
        seconds: how long a round of a measurement takes at least.
    """

    loaded: Loaded
    data: BatchSource
    state: TrainingState
    seconds: float

    def numbers(self, size: int) -> torch.Tensor:
        """(size,) numbers of segments, with repeats."""
        return torch.randint(len(self.data), (size,), generator=self.state.order)

    def per_s(self, *works: Callable[[], object]) -> list[float]:
        """How often per second each work is done, measured in turns."""
        for work in works:  # compiles, fills caches
            for _ in range(2):
                work()
        rounds = [[self._once(work) for work in works] for _ in range(ROUNDS)]
        return [statistics.median(each) for each in zip(*rounds, strict=True)]

    def _once(self, work: Callable[[], object]) -> float:
        self._wait()
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < self.seconds or done < 2:
            for _ in range(10 if self.state.device.type == "cuda" else 1):
                work()
                done += 1
            self._wait()
        return done / (time.perf_counter() - began)

    def _wait(self) -> None:
        if self.state.device.type == "cuda":
            torch.cuda.synchronize(self.state.device)


def bench(
    dataset: Path,
    split_name: str | None,
    config: RunConfig,
    *,
    batch_sizes: Sequence[int] = (64,),
    seeds: int = 0,
    seconds: float = 2.0,
    workers: int = 0,
) -> BenchReport:
    """Measure training steps on the train part of a dataset.

    Args:
        dataset, split_name, config: see `run`; `train.batch_size` is not used.
        batch_sizes: segments per step to measure with.
        seeds: above 1, also measure so many seeds in one step, at the first batch size.
        seconds: how long a round of a measurement takes at least.
        workers: of the plain loop's `DataLoader`; 0 loads in its own process.

    Raises:
        MoseiError: see the message, one line.
    """
    if not batch_sizes or min(batch_sizes) < 1 or seeds < 0 or seconds < 0 or workers < 0:
        raise ConfigError("batch sizes are at least 1, and nothing is negative", ident="bench")
    if seeds > 1:
        check_stackable(config)
    device = choose_device(config.train.device)
    loaded = load(dataset, split_name, config)
    data = device_data(loaded.train, config.train.max_steps, device)
    found = Bench(loaded, data, _fresh(loaded, device, 0), seconds)
    plain = SegmentDataset(
        dataset,
        "train",
        split=loaded.split.info.name,
        task=config.task,
        max_steps=config.train.max_steps,
        policy=config.labels.policy(),
        residency=config.train.residency,
    )
    with found.state.arithmetic.matmuls():
        batches = [_batch_figures(found, plain, size, workers) for size in batch_sizes]
        of_seeds = _seed_figures(found, batch_sizes[0], seeds) if seeds > 1 else None
    return BenchReport(
        environment=environment(config),
        precision=found.state.arithmetic.precision,
        compile=config.train.compile,
        segments=len(data),
        mean_steps=round(float(data.lengths.double().mean()), 2),
        max_steps=config.train.max_steps,
        widths=loaded.split.dims,
        batches=batches,
        seeds=of_seeds,
    )


def _fresh(loaded: Loaded, device: torch.device, seed: int) -> TrainingState:
    config = loaded.config.model_copy(update={"train": loaded.config.train.model_copy(update={"seed": seed})})
    classes, conditions = len(loaded.train.classes), len(loaded.train.condition_names)
    return TrainingState.fresh(config, device, loaded.split.dims, loaded.task.kind, classes, conditions)


def _batch_figures(found: Bench, plain: SegmentDataset, size: int, workers: int) -> BatchFigures:
    cuda = found.state.device.type == "cuda"
    step = _own_step(found, size)
    if cuda:
        torch.cuda.reset_peak_memory_stats(found.state.device)
        step()
    memory = torch.cuda.max_memory_allocated(found.state.device) / 1e6 if cuda else None
    streams, config = found.state.streams, found.loaded.config.augment

    def batches() -> Iterator[Batch]:
        while True:
            for chosen in found.data.placed([found.numbers(size) for _ in range(_PLACED)]):
                yield augment(found.data.batch(chosen), streams, config)

    own, plainly, gathered = found.per_s(step, _plain_step(found, plain, size, workers), partial(next, batches()))
    return BatchFigures(
        batch_size=size,
        steps_per_s=round(own, 3),
        segments_per_s=round(own * size, 1),
        plain_steps_per_s=round(plainly, 3),
        ratio=round(own / plainly, 3),
        data_share=round(own / gathered, 4),
        peak_memory_mb=None if memory is None else round(memory, 1),
    )


def _own_step(found: Bench, size: int) -> Callable[[], object]:
    """A step as `fit` takes it; the batches of an epoch are placed at once, as they are there."""
    loaded, config = found.loaded, found.loaded.config
    kind = loaded.task.kind
    plan = Plan.of(loaded.train, found.data.lengths, config, kind, ALONE)
    stepper = Stepper.of(
        found.state, found.data, config, kind, Emphasis.of(loaded.train, kind, config, found.state.device), ALONE
    )

    def steps() -> Iterator[None]:
        while True:
            for pieces in plan.epoch([found.numbers(size) for _ in range(_PLACED)], found.data):
                found.state.network.train()
                losses = stepper.step(pieces, EPOCH, config.train.lr)
                found.state.step_done(losses, size)
                yield

    return partial(next, steps())


def _plain_step(found: Bench, part: SegmentDataset, size: int, workers: int) -> Callable[[], object]:
    """A step as one would write it first: load, move, augment, forward, backward, clip, step, look at the loss."""
    loaded, config, device = found.loaded, found.loaded.config, found.state.device
    state = _fresh(loaded, device, 1)
    network = state.network.train()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], config.train.lr, foreach=False)
    sampler = RandomSampler(part, replacement=True, num_samples=1_000_000_000)
    loader = iter(DataLoader(part, size, sampler=sampler, collate_fn=collate, num_workers=workers))
    kind = loaded.task.kind
    emphasis = Emphasis.of(loaded.train, kind, config, device)

    def step() -> float:
        batch = augment(_moved(next(loader), device), state.streams, config.augment)
        output = network(batch, state.streams)
        assert batch.targets is not None
        task = task_loss(output.prediction, batch.targets, kind, config.loss, emphasis.weight_C, emphasis.shift_C)
        loss, _ = total_loss(task, output.aux_losses, EPOCH, config.loss)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip(network, config)
        optimizer.step()
        network.update_ema()  # type: ignore[operator]
        return loss.item()

    return step


def _moved(batch: Batch, device: torch.device) -> Batch:
    named: dict[str, Any] = {name: getattr(batch, name).to(device) for name in ("text", "audio", "video", "valid")}
    named |= {name: getattr(batch, name).to(device) for name in ("present", "targets", "condition")}
    return replace(batch, **named, frame_mask={name: mask.to(device) for name, mask in batch.frame_mask.items()})


def _seed_figures(found: Bench, size: int, seeds: int) -> SeedFigures:
    loaded, config, data = found.loaded, found.loaded.config, found.data
    stack = Stack.of([_fresh(loaded, found.state.device, seed) for seed in range(seeds)])
    emphasis = Emphasis.of(loaded.train, loaded.task.kind, config, data.device)

    def together() -> object:
        chosen = data.placed([found.numbers(size) for _ in range(seeds)])
        return stack.step(chosen, data, config, loaded.task.kind, emphasis, EPOCH, config.train.lr)

    own, all_at_once = found.per_s(_own_step(found, size), together)
    cost = own / (all_at_once * seeds)
    return SeedFigures(seeds=seeds, batch_size=size, steps_per_s=round(all_at_once, 3), cost=round(cost, 3))
