"""The training loop of several seeds at once; see `trainer.fit` for that of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from affect_models.data.device import BatchSource, device_data
from affect_models.evaluation.metrics import point_metrics
from affect_models.training.batches import Emphasis
from affect_models.training.config import RunConfig
from affect_models.training.devices import choose_device
from affect_models.training.distributed import ALONE
from affect_models.training.keeper import EpochLog, Keeper
from affect_models.training.loading import Loaded
from affect_models.training.predict import predict
from affect_models.training.signals import Stop, Stopped
from affect_models.training.stacked import Stack
from affect_models.training.state import TrainingState
from affect_models.training.trainer import (
    FitResult,
    Plan,
    check_finite,
    close_epoch,
    fit_result,
    is_over,
)
from mosei_schemas.errors import ConfigError, InputError, MoseiError


@dataclass(frozen=True, slots=True)
class Run:
    """One seed's training and what it leaves."""

    seed: int
    state: TrainingState
    keeper: Keeper


@dataclass(frozen=True, slots=True)
class Cohort:
    """What the seeds share.

    Attributes:
        config: of the runs; its seed is not used.
        data: train.
        plan: of the steps.
        loaded: the parts and the task.
    """

    config: RunConfig
    data: BatchSource
    plan: Plan
    loaded: Loaded


def fit_seeds(
    loaded: Loaded,
    keepers: Mapping[int, Keeper],
    step_done: Callable[[int, int, int], None],
    epoch_done: Callable[[int, EpochLog], None],
    stop: Stop,
) -> tuple[dict[int, FitResult], dict[int, MoseiError]]:
    """`fit` for several seeds that are equally far; one that has come to its end leaves the others.

    Args:
        loaded: the data and the configuration; its seed is not used.
        keepers: seed -> what keeps its run.
        step_done: see `fit`.
        epoch_done: called with a seed and its line of the log.
        stop: asks to stop before the end, after a step.

    Returns:
        What each seed gave, and the errors of those that gave nothing.

    Raises:
        ConfigError: the configuration has a switch that seeds cannot share a step with.
        Stopped: `stop` has asked for it; there is a snapshot of the last step of each seed.
    """
    config, kind = loaded.config, loaded.task.kind
    check_stackable(config)
    device = choose_device(config.train.device)
    runs = [_begun(loaded, seed, keeper, device) for seed, keeper in keepers.items()]
    data = device_data(loaded.train, config.train.max_steps, device)
    valid_data = device_data(loaded.valid, config.train.max_steps, device)
    cohort = Cohort(config, data, Plan.of(loaded.train, data.lengths, config, kind, ALONE), loaded)
    fitted: dict[int, FitResult] = {}
    failed: dict[int, MoseiError] = {}

    def after_step(running: list[Run], steps: int) -> None:
        done = running[0].state.progress
        step_done(done.epoch + 1, done.step, steps)
        _keep_or_stop(running, stop, within_epoch=True)

    running: list[Run] = []
    try:
        with stop.deferred(), runs[0].state.arithmetic.matmuls():
            while True:
                over = [run for run in runs if is_over(run.state.progress, config) and run.seed not in fitted | failed]
                for run in over:
                    run.keeper.write(run.state)
                    _conclude(run, cohort, fitted, failed)
                before = running
                running = [run for run in runs if run.seed not in fitted and run.seed not in failed]
                if not running:
                    return fitted, failed
                if running != before:
                    stack = Stack.of([run.state for run in running])
                _train_epoch(stack, running, cohort, after_step)
                for run in running:
                    _close(run, cohort, valid_data, epoch_done, failed)
                _keep_or_stop(running, stop, within_epoch=False)
    except Stopped:
        for run in running:
            run.keeper.write(run.state)
        raise


def check_stackable(config: RunConfig) -> None:
    """Raise ConfigError for a switch that several seeds cannot share a step with."""
    train = config.train
    for key, given, possible in (
        ("train.buckets", train.buckets > 1, "0, as every seed's batches must have one shape"),
        ("train.accumulate", train.accumulate > 1, "1"),
        ("train.compile", train.compile != "off", "off"),
        ("track", bool(config.track), "nothing"),
        ("train.precision", train.precision == "fp16", "bf16 or fp32, as each seed would need a scale of its own"),
    ):
        if given:
            raise ConfigError(
                "seeds cannot train at once so",
                ident=key,
                remedy=f"set it to {possible}, or train the seeds one by one",
            )


def _begun(loaded: Loaded, seed: int, keeper: Keeper, device: torch.device) -> Run:
    train = loaded.config.train.model_copy(update={"seed": seed})
    config = loaded.config.model_copy(update={"train": train})
    classes, conditions = len(loaded.train.classes), len(loaded.train.condition_names)
    state = TrainingState.fresh(config, device, loaded.split.dims, loaded.task.kind, classes, conditions)
    # The generator that dropout would draw from in a run by itself is one for all: here each seed has its own.
    state.dropout = torch.Generator(device).manual_seed(seed)
    if keeper.snapshot is not None:
        state.restore(keeper.snapshot.state.progress, keeper.snapshot.tensors)
    return Run(seed, state, keeper)


def _train_epoch(
    stack: Stack, running: list[Run], cohort: Cohort, after_step: Callable[[list[Run], int], None]
) -> None:
    """What is left of a pass over train, for every seed in its own order."""
    config, data, kind = cohort.config, cohort.data, cohort.loaded.task.kind
    states = [run.state for run in running]
    epoch, first = states[0].progress.epoch, states[0].progress.step
    stack.begin_epoch(epoch)
    orders = []
    for state in states:
        state.order.set_state(state.order_before)
        orders.append(cohort.plan.batches(state.order))
    steps = len(orders[0])
    placed = iter(data.placed([batch for order in orders for batch in order[first:]]))
    mine = [[next(placed) for _ in order[first:]] for order in orders]
    emphasis = Emphasis.of(cohort.loaded.train, kind, config, data.device)
    for step, chosen in enumerate(zip(*mine, strict=True), first):
        losses = stack.step(chosen, data, config, kind, emphasis, epoch, cohort.plan.lr(epoch, step, steps))
        for place, state in enumerate(states):
            state.step_done({name: loss_S[place] for name, loss_S in losses.items()}, len(chosen[0]))
        after_step(running, steps)


def _close(
    run: Run,
    cohort: Cohort,
    valid_data: BatchSource,
    epoch_done: Callable[[int, EpochLog], None],
    failed: dict[int, MoseiError],
) -> None:
    state, kind, valid = run.state, cohort.loaded.task.kind, cohort.loaded.valid
    losses = state.mean_losses(len(cohort.data))
    try:
        check_finite(losses, state.progress.epoch)
    except InputError as error:
        failed[run.seed] = error
        return
    scores, diagnostics = predict(state.network, valid_data, kind)
    measured = point_metrics(kind, valid.targets, scores, len(valid.classes))
    epoch_done(run.seed, close_epoch(state, run.keeper, cohort.config, losses, measured, diagnostics, kind))


def _conclude(run: Run, cohort: Cohort, fitted: dict[int, FitResult], failed: dict[int, MoseiError]) -> None:
    try:
        fitted[run.seed] = fit_result(cohort.config, run.state, run.keeper, cohort.loaded.task.kind)
    except InputError as error:
        failed[run.seed] = error


def _keep_or_stop(running: list[Run], stop: Stop, *, within_epoch: bool) -> None:
    if any(run.keeper.is_due(within_epoch=within_epoch) for run in running):
        for run in running:
            run.keeper.write(run.state)
    stop.check()
