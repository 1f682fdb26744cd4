"""All that training changes, as tensors and numbers: what a snapshot holds and what it gives back, to the last bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from affect_models.data.batch import Streams
from affect_models.training import checkpoint as checkpoints
from affect_models.training.config import RunConfig
from affect_models.training.distributed import ALONE, Ranks
from affect_models.training.precision import Arithmetic
from mosei_schemas.errors import InputError
from mosei_schemas.labels import Kind
from mosei_schemas.manifest import Count, Strict


class Progress(Strict):
    """How far training has come."""

    epoch: Count = 0
    """Epochs that are finished: trained, measured and logged."""
    step: Count = 0
    """Steps done in the epoch after them."""
    best_epoch: Count = 0
    """The epoch of the best validation score so far, counted from 1; 0 for none."""
    best_value: float | None = None


@dataclass(slots=True)
class TrainingState:
    """A training between two steps.

    Attributes:
        network, optimizer: with everything they have learnt; the network's weights include the averaged ones.
        streams: random streams of the network's parts and of augmentation.
        order: the stream that the order of the segments is drawn from.
        dropout: what dropout draws from: the device's own generator, or, where several seeds train in one process, one
            that stands for it.
        arithmetic: with how many digits is computed.
        ranks: the processes of the training.
        progress: how far it has come.
        order_before: state of `order` before the running epoch's order was drawn from it.
        sums: loss -> its sum over the segments of the running epoch so far, a scalar on the device.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    streams: Streams
    order: torch.Generator
    dropout: torch.Generator
    arithmetic: Arithmetic
    ranks: Ranks
    progress: Progress
    order_before: Tensor
    sums: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def fresh(
        cls,
        config: RunConfig,
        device: torch.device,
        dims: dict[str, int],
        kind: Kind,
        classes: int,
        conditions: int,
        ranks: Ranks = ALONE,
    ) -> TrainingState:
        """A training that begins; what each argument is, see `new_network`.

        Weights and the order of the segments are the same on every rank; each has random draws of its own.
        """
        torch.manual_seed(config.train.seed)
        network = checkpoints.new_network(config, dims, kind, classes, conditions).to(device)
        # Seeded again: dropout draws from the global generator, which has been moved on by every weight just
        # initialised, the prior's too, and must not depend on whether there is a prior.
        seed = ranks.seed(config.train.seed)
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(config.train.seed)
        optimizer = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            config.train.lr,
            weight_decay=config.train.weight_decay,
            fused=device.type == "cuda",
        )
        arithmetic = Arithmetic.of(config.train, device)
        dropout = _global_generator(device)
        streams = Streams.seeded(seed, device)
        return cls(network, optimizer, streams, order, dropout, arithmetic, ranks, Progress(), order.get_state())

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.arithmetic.device

    def step_done(self, losses: dict[str, Tensor], segments: int) -> None:
        """Count a step over so many segments, with its mean losses."""
        for name, value in losses.items():
            before = self.sums[name] if name in self.sums else torch.zeros((), device=self.device)
            self.sums[name] = before + value * segments
        self.progress = self.progress.model_copy(update={"step": self.progress.step + 1})

    def mean_losses(self, segments: int) -> dict[str, float]:
        """The mean of every loss over the running epoch, which has so many segments; waits for the device, once."""
        sums = torch.stack(list(self.sums.values())).tolist()
        return {name: total / segments for name, total in zip(self.sums, sums, strict=True)}

    def improved(self, value: float) -> None:
        """The running epoch's validation score is the best so far."""
        best = {"best_epoch": self.progress.epoch + 1, "best_value": value}
        self.progress = self.progress.model_copy(update=best)

    def epoch_done(self) -> None:
        """The running epoch is finished; the next has not begun."""
        self.progress = self.progress.model_copy(update={"epoch": self.progress.epoch + 1, "step": 0})
        self.order_before, self.sums = self.order.get_state(), {}

    def tensors(self, of_others: Sequence[Tensor] = ()) -> dict[str, Tensor]:
        """Every tensor by name: `network.*`, `optimizer.<parameter>.*`, `sums.<number>.*`, `random.*`, `scaler.*`.

        Args:
            of_others: `draws` of the other ranks, which become `ranks.<rank>`.
        """
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
        # Numbered, as a file of tensors keeps no order, and the log has one.
        found |= {f"sums.{number:04d}.{name}": tensor for number, (name, tensor) in enumerate(self.sums.items())}
        if self.arithmetic.scaler is not None:
            scales = self.arithmetic.scaler.state_dict()
            found |= {f"scaler.{name}": torch.tensor(scales[name], dtype=torch.float64) for name in _SCALER}
        found |= {f"ranks.{rank}": draws for rank, draws in enumerate(of_others, 1)}
        return found | {f"random.{name}": state for name, state in self._random().items()}

    def draws(self) -> Tensor:
        """State of every random stream of this rank, as one row of bytes on the CPU."""
        return torch.cat(list(self._random().values()))

    def restore(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Become the training that `progress` and `tensors()` were taken from.

        A rank that the snapshot does not know keeps the draws that it was seeded with.

        Raises:
            InputError: it was another network, or another kind of device.
        """
        parts: dict[str, dict[str, Tensor]] = {
            name: {} for name in ("network", "optimizer", "sums", "scaler", "ranks", "random")
        }
        try:
            for key, tensor in tensors.items():
                part, _, name = key.partition(".")
                parts[part][name] = tensor
            self.network.load_state_dict(parts["network"])
            self._restore_optimizer(parts["optimizer"])
            self._restore_scaler(parts["scaler"])
            if self.ranks.first:
                self._restore_random(parts["random"])
            else:
                self._restore_draws(parts["ranks"].get(str(self.ranks.rank)), parts["random"]["order"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                "the snapshot does not fit the run", remedy="go on with the version and the device that it began with"
            ) from error
        self.sums = {key.partition(".")[2]: tensor.to(self.device) for key, tensor in sorted(parts["sums"].items())}
        self.progress = progress

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            number, _, name = key.partition(".")
            # A copy of its own lies in memory as torch's allocator aligns it, as it did before.
            state.setdefault(int(number), {})[name] = tensor.clone()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _restore_scaler(self, tensors: dict[str, Tensor]) -> None:
        scaler = self.arithmetic.scaler
        if scaler is not None:
            known = {name: float(tensors[name]) for name in _SCALER}
            scaler.load_state_dict(scaler.state_dict() | known | {"_growth_tracker": int(known["_growth_tracker"])})

    def generators(self) -> dict[str, torch.Generator]:
        """Whatever draws while the network runs, by name."""
        streams = self.streams
        named = {"posterior": streams.posterior, "prior": streams.prior, "augmentation": streams.augmentation}
        return named | {"dropout": self.dropout}

    def _random(self) -> dict[str, Tensor]:
        """State of every random stream, as bytes on the CPU."""
        states = {name: generator.get_state() for name, generator in self.generators().items()}
        return states | {"order": self.order_before}

    def _restore_random(self, states: dict[str, Tensor]) -> None:
        for name, generator in self.generators().items():
            generator.set_state(states[name])
        self.order_before = states["order"].clone()
        self.order.set_state(self.order_before)

    def _restore_draws(self, row: Tensor | None, order: Tensor) -> None:
        states = self._random()
        if row is not None:
            sizes = [len(state) for state in states.values()]
            # A copy of its own, as a generator reads its state as a whole.
            states = {name: part.clone() for name, part in zip(states, torch.split(row, sizes), strict=True)}
        self._restore_random(states | {"order": order})


_SCALER: Final = ("scale", "_growth_tracker")


def _global_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator


def is_better(value: float, progress: Progress, end: str) -> bool:
    """Whether a validation score beats the best so far; `end` is the good end of its scale, `max` or `min`."""
    if math.isnan(value):
        return False
    best = progress.best_value
    return best is None or (value > best if end == "max" else value < best)
