"""The training loop; `fit` reads top to bottom. It is given train and valid and cannot see test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from signal import Signals
from typing import Any

import torch
from torch import Tensor

from affect_models.data.device import BatchSource, device_data
from affect_models.data.tasks import TaskPart
from affect_models.evaluation.metrics import PRIMARY, point_metrics
from affect_models.training.batches import Emphasis, make_batches
from affect_models.training.config import RunConfig
from affect_models.training.devices import choose_device
from affect_models.training.distributed import ALONE, Ranks
from affect_models.training.keeper import Bystander, EpochLog, Keeper
from affect_models.training.losses import aux_weight
from affect_models.training.pieces import Piece, divide
from affect_models.training.predict import predict
from affect_models.training.schedules import lr_factor
from affect_models.training.signals import Stop, Stopped
from affect_models.training.state import Progress, TrainingState, is_better
from affect_models.training.step import Stepper, begin_epoch
from mosei_schemas.errors import InputError
from mosei_schemas.labels import Kind


@dataclass(frozen=True, slots=True)
class FitResult:
    """What training gave.

    Attributes:
        best_epoch: the epoch of the kept checkpoint, counted from 1.
        best_value: its validation score.
        epochs: epochs trained, of which the best was chosen.
        stopped_early: whether patience ended it.
        parameters: counts by kind, see the model.
        seconds: wall time.
    """

    best_epoch: int
    best_value: float
    epochs: int
    stopped_early: bool
    parameters: dict[str, int]
    seconds: float


def fit(
    config: RunConfig,
    train: TaskPart,
    valid: TaskPart,
    dims: dict[str, int],
    kind: Kind,
    keeper: Keeper | Bystander,
    step_done: Callable[[int, int, int], None],
    epoch_done: Callable[[EpochLog], None],
    stop: Stop,
    ranks: Ranks = ALONE,
) -> FitResult:
    """Train, keep the checkpoint with the best validation score, stop when it no longer gets better.

    Args:
        config: the run's configuration.
        train, valid: the parts; there is no way to give it a third.
        dims: width of every modality.
        kind: what the targets are.
        keeper: keeps what must survive; where it has a snapshot, training goes on from there.
        step_done: called with (epoch, steps done in it, steps of an epoch), after every step.
        epoch_done: called with every epoch's line of the log.
        stop: asks to stop before the end.
        ranks: the processes that train together; all of them call this.

    Raises:
        InputError: training diverged, or a part has too few segments.
        Stopped: `stop` has asked for it; there is a snapshot of the last step.
    """
    device = choose_device(config.train.device, ranks.local, ranks.world)
    ranks = ranks.on(device)
    state = TrainingState.fresh(config, device, dims, kind, len(train.classes), len(train.condition_names), ranks)
    if keeper.snapshot is not None:
        state.restore(keeper.snapshot.state.progress, keeper.snapshot.tensors)
    train_data = device_data(train, config.train.max_steps, device)
    valid_data = device_data(valid, config.train.max_steps, device)
    plan = Plan.of(train, train_data.lengths, config, kind, ranks)
    stepper = Stepper.of(state, train_data, config, kind, Emphasis.of(train, kind, config, device), ranks)

    def after_step(steps: int) -> None:
        step_done(state.progress.epoch + 1, state.progress.step, steps)
        _agree(state, keeper, stop, within_epoch=True)

    with stop.deferred(), _snapshot_when_stopped(keeper, state), state.arithmetic.matmuls():
        while not is_over(state.progress, config):
            losses = _train_epoch(stepper, plan, after_step)
            # A signal interrupts validation, which changes nothing and is done again; several ranks stop together.
            with stop.deferred(ranks.world > 1):
                scores, diagnostics = predict(state.network, valid_data, kind, ranks)
                measured = point_metrics(kind, valid.targets, scores, len(valid.classes))
            measured = ranks.numbers_of_first(measured)
            entry = close_epoch(state, keeper, config, losses, measured, diagnostics, kind)
            _agree(state, keeper, stop, within_epoch=False, before_stopping=partial(epoch_done, entry))
        _keep(state, keeper)
    return fit_result(config, state, keeper, kind)


def _agree(
    state: TrainingState,
    keeper: Keeper | Bystander,
    stop: Stop,
    *,
    within_epoch: bool,
    before_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Write a snapshot where one is due; stop, on all ranks after the same step, where a signal has come to one.

    Raises:
        Stopped: it has.
    """
    due = state.ranks.largest(int(keeper.is_due(within_epoch=within_epoch)))[0]
    if due:
        _keep(state, keeper)
    before_stopping()
    signal = state.ranks.largest(stop.wanted or 0)[0]
    if signal:
        stop.ask(Signals(signal))
        stop.check()


def _keep(state: TrainingState, keeper: Keeper | Bystander) -> None:
    ranks = state.ranks
    rows = ranks.gathered(state.draws()[None], [1] * ranks.world) if ranks.world > 1 else torch.empty(1, 0)
    keeper.write(state, rows[1:].unbind())


def close_epoch(
    state: TrainingState,
    keeper: Keeper | Bystander,
    config: RunConfig,
    losses: dict[str, float],
    measured: dict[str, float],
    diagnostics: dict[str, Any],
    kind: Kind,
) -> EpochLog:
    """Keep the checkpoint where the epoch was the best so far, and log it."""
    metric, end = PRIMARY[kind]
    better = is_better(measured[metric], state.progress, end)
    if better:
        state.improved(measured[metric])
        keeper.keep_best(state.network, state.progress)
    diagnostics["scheduled"] = state.network.scheduled()  # type: ignore[operator]
    entry = _entry(config, state.progress.epoch, losses, measured, diagnostics, better)
    keeper.log_epoch(entry)
    state.epoch_done()
    return entry


def fit_result(config: RunConfig, state: TrainingState, keeper: Keeper | Bystander, kind: Kind) -> FitResult:
    """What the training gave.

    Raises:
        InputError: no epoch had a score.
    """
    found = state.progress
    if found.best_value is None:
        raise InputError(
            f"{PRIMARY[kind][0]} on valid was undefined in every epoch", remedy="valid needs more segments"
        )
    counts = state.network.parameter_counts()  # type: ignore[operator]
    stopped_early = found.epoch < config.train.epochs
    return FitResult(found.best_epoch, found.best_value, found.epoch, stopped_early, counts, keeper.seconds())


@contextmanager
def _snapshot_when_stopped(keeper: Keeper | Bystander, state: TrainingState) -> Iterator[None]:
    try:
        yield
    except Stopped:
        _keep(state, keeper)
        state.ranks.until_all_are_done()  # who ends first must not have the one killed that still writes
        raise


def is_over(progress: Progress, config: RunConfig) -> bool:
    """Whether all epochs are done, or patience has ended."""
    return progress.epoch == config.train.epochs or progress.epoch - progress.best_epoch >= config.train.patience


def _entry(
    config: RunConfig,
    epoch: int,
    losses: dict[str, float],
    measured: dict[str, float],
    diagnostics: dict[str, Any],
    best: bool,
) -> EpochLog:
    """The epoch's line of the log; an undefined metric is null."""
    return {
        "epoch": epoch + 1,
        "lr": config.train.lr * lr_factor(epoch, config.train.epochs, config.train.warmup_epochs),
        "losses": losses,
        "loss_weights": {
            name: aux_weight(name, epoch, config.loss) for name in losses if name not in ("task", "total")
        },
        "valid": {name: None if math.isnan(value) else value for name, value in measured.items()},
        "modality_weight": diagnostics["modality_weight"],
        "scheduled": diagnostics["scheduled"],
        "best": best,
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of all steps before the first: who computes which segments, and how much they count.

    Attributes:
        config, ranks: of the run.
        lengths_N: (N,) steps of each segment of train.
        chance_N: (N,) chance of each segment at every draw; None where an epoch has each once.
        weight_N: (N,) weight of each segment in the task's loss; None where all count the same.
    """

    config: RunConfig
    ranks: Ranks
    lengths_N: Tensor
    chance_N: Tensor | None
    weight_N: Tensor | None

    @classmethod
    def of(cls, train: TaskPart, lengths_N: Tensor, config: RunConfig, kind: Kind, ranks: Ranks) -> Plan:
        """The plan for a part."""
        emphasis = Emphasis.of(train, kind, config, torch.device("cpu"))
        weight_C, one_class = emphasis.weight_C, kind == "multiclass"
        weight_N = weight_C[torch.from_numpy(train.targets)] if weight_C is not None and one_class else None
        return cls(config, ranks, lengths_N, emphasis.chance_N, weight_N)

    def batches(self, order: torch.Generator) -> list[Tensor]:
        """Numbers of the segments of each step of an epoch, over all ranks."""
        return make_batches(self.lengths_N, self.config, order, self.chance_N)

    def lr(self, epoch: int, step: int, steps: int) -> float:
        """The learning rate of a step of an epoch with so many steps, all counted from 0."""
        train = self.config.train
        return train.lr * lr_factor(epoch * steps + step, steps * train.epochs, steps * train.warmup_epochs)

    def epoch(self, batches: Sequence[Tensor], data: BatchSource) -> list[list[Piece]]:
        """This rank's pieces of each step, where `data` wants their numbers."""
        train = self.config.train
        found = [
            divide(batch, self.ranks, train.accumulate, self.lengths_N, self.weight_N, train.buckets <= 1)
            for batch in batches
        ]
        placed = iter(data.placed([piece.numbers for pieces in found for piece in pieces]))
        return [[replace(piece, numbers=next(placed)) for piece in pieces] for pieces in found]


def _train_epoch(stepper: Stepper, plan: Plan, after_step: Callable[[int], None]) -> dict[str, float]:
    """What is left of a pass over train; the device is asked for numbers only at its end.

    Returns:
        The mean of every loss over the whole pass.
    """
    state = stepper.state
    state.network.train()
    epoch, first = state.progress.epoch, state.progress.step
    begin_epoch(state.network, epoch)
    state.order.set_state(state.order_before)
    batches = plan.batches(state.order)
    for step, pieces in enumerate(plan.epoch(batches[first:], stepper.data), first):
        losses = stepper.step(pieces, epoch, plan.lr(epoch, step, len(batches)))
        state.step_done(losses, len(batches[step]))
        after_step(len(batches))
    losses_of_epoch = state.mean_losses(len(plan.lengths_N))
    check_finite(losses_of_epoch, epoch)
    return losses_of_epoch


def check_finite(losses: dict[str, float], epoch: int) -> None:
    """Raise InputError where a loss of an epoch, counted from 0, is not finite."""
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise InputError(
            f"training diverged in epoch {epoch + 1}: the loss {bad[0]!r} is not finite",
            remedy="lower the learning rate, e.g. --set train.lr=1e-4",
        )
