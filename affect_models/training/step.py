"""One step of training: this rank's pieces forward and backward, gradients summed and clipped, weights moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affect_models.data.device import BatchSource
from affect_models.training.augment import augment
from affect_models.training.batches import Emphasis
from affect_models.training.compiled import compiled
from affect_models.training.config import RunConfig
from affect_models.training.distributed import Ranks
from affect_models.training.losses import task_loss, total_loss
from affect_models.training.pieces import Piece, check_divisible
from affect_models.training.precision import Arithmetic
from affect_models.training.state import TrainingState
from mosei_schemas.labels import Kind


@dataclass(frozen=True, slots=True)
class Stepper:
    """What a step needs beside its segments.

    Attributes:
        state: the training.
        network: the state's network, or what it was compiled to.
        data: the part that is trained on.
        config, kind: of the run and its targets.
        emphasis: what is done for rare classes.
        ranks: who else computes the step.
    """

    state: TrainingState
    network: Callable[..., Any]
    data: BatchSource
    config: RunConfig
    kind: Kind
    emphasis: Emphasis
    ranks: Ranks

    @classmethod
    def of(
        cls,
        state: TrainingState,
        data: BatchSource,
        config: RunConfig,
        kind: Kind,
        emphasis: Emphasis,
        ranks: Ranks,
    ) -> Stepper:
        """Compile the network where the configuration says so.

        Raises:
            ConfigError: steps are to be divided, and the network cannot be.
        """
        if ranks.world * config.train.accumulate > 1:
            check_divisible(state.network, "train with one rank and train.accumulate = 1")
        return cls(state, compiled(state.network, config.train), data, config, kind, emphasis, ranks)

    def step(self, pieces: Sequence[Piece], epoch: int, lr: float) -> dict[str, Tensor]:
        """Take a step.

        Args:
            pieces: this rank's, see `divide`.
            epoch: the running one, counted from 0.
            lr: the learning rate.

        Returns:
            The mean of every loss over the whole step, of all ranks, and their weighted sum `total`.
        """
        network, optimizer, arithmetic = self.state.network, self.state.optimizer, self.state.arithmetic
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        for piece in pieces:
            for name, value in self._piece(piece, epoch, arithmetic).items():
                losses[name] = losses[name] + value if name in losses else value
        if self.ranks.world > 1:
            summed = self.ranks.sum_gradients(list(network.parameters()), torch.stack(list(losses.values())))
            losses = dict(zip(losses, summed.unbind(), strict=True))
        arithmetic.unscale(optimizer)
        clip(network, self.config)
        arithmetic.step(optimizer)
        network.update_ema()  # type: ignore[operator]
        return losses

    def _piece(self, piece: Piece, epoch: int, arithmetic: Arithmetic) -> dict[str, Tensor]:
        """Add a piece's gradients; its losses, each times the piece's share of it."""
        batch = augment(self.data.batch(piece.numbers, piece.length), self.state.streams, self.config.augment)
        with arithmetic.forward():
            output = self.network(batch, self.state.streams)
            assert batch.targets is not None
            task = self._task(output.prediction, batch.targets)
            parts = {name: _times(loss, piece.counts(name)) for name, loss in output.aux_losses.items()}
            loss, named = total_loss(_times(task, piece.counts("task")), parts, epoch, self.config.loss)
        arithmetic.backward(loss)
        return {**named, "total": loss.detach()}

    def _task(self, prediction: Tensor, targets: Tensor) -> Tensor:
        emphasis = self.emphasis
        return task_loss(prediction, targets, self.kind, self.config.loss, emphasis.weight_C, emphasis.shift_C)


def begin_epoch(network: nn.Module, epoch: int) -> None:
    """Tell a network that an epoch of training begins, counted from 0, where it wants to know."""
    begin = getattr(network, "begin_epoch", None)
    if begin is not None:
        begin(epoch)


def clip(network: nn.Module, config: RunConfig) -> None:
    """Shorten the gradients of classifier and prior, each by its own norm, or by their common one."""
    groups: list[list[nn.Parameter]] = [network.classifier_parameters(), network.prior_parameters()]  # type: ignore[operator]
    if config.train.clip == "joint":
        groups = [groups[0] + groups[1]]
    for parameters in groups:
        if parameters:
            torch.nn.utils.clip_grad_norm_(parameters, config.train.clip_norm)


def _times(loss: Tensor, share: float) -> Tensor:
    return loss if share == 1 else loss * share
