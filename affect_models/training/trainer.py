"""The training loop; `fit` reads top to bottom. It is given train and valid and cannot see test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from affect_models.data.batch import Streams
from affect_models.data.device import BatchSource, device_data
from affect_models.data.tasks import TaskPart
from affect_models.evaluation.metrics import PRIMARY, point_metrics
from affect_models.training import checkpoint as checkpoints
from affect_models.training.augment import augment
from affect_models.training.config import RunConfig
from affect_models.training.losses import aux_weight, class_weights, task_loss, total_loss
from affect_models.training.predict import predict
from affect_models.training.schedules import cosine_factor
from mosei_schemas.errors import ConfigError, InputError
from mosei_schemas.labels import Kind

EpochLog = dict[str, Any]


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
    folder: Path,
    describe: Callable[[int, float], checkpoints.Checkpoint],
    log: Callable[[EpochLog], None],
    step_done: Callable[[int, int, int], None] = lambda _epoch, _step, _steps: None,
) -> FitResult:
    """Train, keep the checkpoint with the best validation score, stop when it no longer gets better.

    Args:
        config: the run's configuration.
        train, valid: the parts; there is no way to give it a third.
        dims: width of every modality.
        kind: what the targets are.
        folder: where the best checkpoint goes.
        describe: (epoch, score) -> the checkpoint's description.
        log: called once an epoch.
        step_done: called with (epoch, steps done in it, steps of an epoch), after every step.

    Raises:
        InputError: training diverged, or a part has too few segments.
    """
    began = time.monotonic()
    device = choose_device(config.train.device)
    torch.manual_seed(config.train.seed)
    network = checkpoints.new_network(config, dims, kind, len(train.classes), len(train.condition_names)).to(device)
    # Seeded again: dropout draws from the global generator, which has been moved on by every weight just initialised,
    # the prior's too, and must not depend on whether there is a prior.
    torch.manual_seed(config.train.seed)
    streams = Streams.seeded(config.train.seed, device)
    order = torch.Generator().manual_seed(config.train.seed)
    train_data = device_data(train, config.train.max_steps, device)
    valid_data = device_data(valid, config.train.max_steps, device)
    weight_C = class_weights(torch.from_numpy(train.class_counts()), config.loss.class_weights)
    weight_C = None if weight_C is None or kind == "regression" else weight_C.to(device)
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], config.train.lr, weight_decay=config.train.weight_decay
    )
    metric, end = PRIMARY[kind]
    best_value, best_epoch = math.nan, 0
    for epoch in range(config.train.epochs):
        epoch_began = time.monotonic()
        batches = make_batches(train_data.lengths, config, order)
        losses = _train_epoch(
            network, optimizer, train_data, batches, config, kind, weight_C, streams, epoch, step_done
        )
        _check_finite(losses, epoch)
        scores, diagnostics = predict(network, valid_data, kind)
        measured = point_metrics(kind, valid.targets, scores, len(valid.classes))
        value = measured[metric]
        better = best_epoch == 0 or (value > best_value if end == "max" else value < best_value)
        if better and not math.isnan(value):
            best_value, best_epoch = value, epoch + 1
            checkpoints.save(folder, network.state_dict(), describe(best_epoch, best_value))
        log(_entry(config, epoch, losses, measured, diagnostics, best_epoch, time.monotonic() - epoch_began))
        if epoch + 1 - best_epoch >= config.train.patience:
            break
    if best_epoch == 0:
        raise InputError(f"{metric} on valid was undefined in every epoch", remedy="valid needs more segments")
    counts = network.parameter_counts()  # type: ignore[operator]
    stopped = epoch + 1 < config.train.epochs
    return FitResult(best_epoch, best_value, epoch + 1, stopped, counts, time.monotonic() - began)


def _entry(
    config: RunConfig,
    epoch: int,
    losses: dict[str, float],
    measured: dict[str, float],
    diagnostics: dict[str, Any],
    best_epoch: int,
    seconds: float,
) -> EpochLog:
    """The epoch's line of the log; an undefined metric is null."""
    return {
        "epoch": epoch + 1,
        "lr": config.train.lr * cosine_factor(epoch, config.train.epochs),
        "losses": losses,
        "loss_weights": {
            name: aux_weight(name, epoch, config.loss) for name in losses if name not in ("task", "total")
        },
        "valid": {name: None if math.isnan(value) else value for name, value in measured.items()},
        "modality_weight": diagnostics["modality_weight"],
        "best": best_epoch == epoch + 1,
        "seconds": seconds,
    }


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: BatchSource,
    batches: list[Tensor],
    config: RunConfig,
    kind: Kind,
    weight_C: Tensor | None,
    streams: Streams,
    epoch: int,
    step_done: Callable[[int, int, int], None],
) -> dict[str, float]:
    """One pass over train; the device is asked for numbers only at its end."""
    network.train()
    sums: dict[str, Tensor] = {}
    device = data.device
    total_steps = len(batches) * config.train.epochs
    for step, chosen in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = config.train.lr * cosine_factor(epoch * len(batches) + step, total_steps)
        length = int(data.lengths[chosen].max()) if config.train.buckets > 1 else None
        batch = augment(data.batch(chosen, length), streams, config.augment)
        output = network(batch, streams)
        assert batch.targets is not None
        task = task_loss(output.prediction, batch.targets, kind, config.loss, weight_C)
        loss, parts = total_loss(task, output.aux_losses, epoch, config.loss)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        _clip(network, config)
        optimizer.step()
        network.update_ema()  # type: ignore[operator]
        for name, value in {**parts, "total": loss.detach()}.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value * len(chosen)
        step_done(epoch + 1, step + 1, len(batches))
    return {name: float(value) / len(data) for name, value in sums.items()}


def _clip(network: nn.Module, config: RunConfig) -> None:
    groups: list[list[nn.Parameter]] = [network.classifier_parameters(), network.prior_parameters()]  # type: ignore[operator]
    if config.train.clip == "joint":
        groups = [groups[0] + groups[1]]
    for parameters in groups:
        if parameters:
            torch.nn.utils.clip_grad_norm_(parameters, config.train.clip_norm)


def make_batches(lengths: Tensor, config: RunConfig, order: torch.Generator) -> list[Tensor]:
    """Numbers of the segments of each batch of an epoch; every segment is in exactly one.

    Args:
        lengths: (N,) steps of each segment, on the CPU.
        config: batch size and buckets.
        order: where the order is drawn from.
    """
    shuffled = torch.randperm(len(lengths), generator=order)
    size, buckets = config.train.batch_size, config.train.buckets
    if buckets <= 1:
        return _pieces(shuffled, size)
    runs = _pieces(shuffled, size * buckets)
    batches = [batch for run in runs for batch in _pieces(run[lengths[run].argsort(stable=True)], size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=order).tolist()]


def _pieces(numbers: Tensor, size: int) -> list[Tensor]:
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError("no such device here", ident=name, remedy="use --device auto or cpu") from error
    return device


def _check_finite(losses: dict[str, float], epoch: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise InputError(
            f"training diverged in epoch {epoch + 1}: the loss {bad[0]!r} is not finite",
            remedy="lower the learning rate, e.g. --set train.lr=1e-4",
        )
