"""Several processes that train one model: what they tell each other.

Gradients are summed where they are (NCCL between CUDA devices, gloo between CPUs), once a step. Everything else is a
few numbers on the CPU, over gloo: whether a signal has come, whether a snapshot is due, scores of valid. A process that
has died is noticed at the next of these, whatever the devices are waiting for.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from affect_models.training.ranks import Place
from mosei_schemas.errors import ConfigError, InputError

PATIENCE: Final = timedelta(minutes=10)
"""A rank that is silent for so long in the middle of training is given up."""
_END: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Ranks:
    """All processes of a training, seen from one of them; `ALONE` where there is one.

    Attributes:
        rank, world, local: see `Place`.
        gradients, end: groups for the gradients and for the very end; None where the process is alone.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    gradients: Any = None
    end: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """The seed of this rank's draws: that of the run for rank 0, an unrelated one for every other."""
        if self.first:
            return seed
        return int.from_bytes(hashlib.sha256(f"{seed} rank {self.rank}".encode()).digest()[:4])

    def on(self, device: torch.device) -> Ranks:
        """The same with gradients that travel between CUDA devices where they are on one; every rank has to call it.

        Raises:
            ConfigError: two ranks are on one device.
        """
        if self.world == 1 or device.type != "cuda":
            return self
        self.check_apart(str(torch.cuda.get_device_properties(device).uuid))
        with _heard():
            return replace(self, gradients=dist.new_group(backend="nccl", timeout=PATIENCE))

    def check_apart(self, device: str) -> None:
        """Raise ConfigError, everywhere, where two ranks name the same device: NCCL wants one for each."""
        name = int.from_bytes(hashlib.sha256(device.encode()).digest()[:7])
        names = self.gathered(torch.tensor([name]), [1] * self.world).tolist()
        for rank, other in itertools.combinations(range(self.world), 2):
            if names[rank] == names[other]:
                raise ConfigError(
                    "are on one device",
                    ident=f"ranks {rank} and {other}",
                    remedy="start one rank for each GPU",
                )

    def sum_gradients(self, parameters: Sequence[nn.Parameter], numbers: Tensor) -> Tensor:
        """Replace every gradient by its sum over the ranks, and return the sum of `numbers` (K,).

        One message: gradients and numbers travel as one flat array, and gradients become views of it.
        """
        if self.world == 1:
            return numbers
        learning = [p for p in parameters if p.grad is not None]
        flat = torch.cat([*(p.grad.flatten() for p in learning if p.grad is not None), numbers])
        with _heard():
            dist.all_reduce(flat, group=self.gradients)
        *pieces, numbers = torch.split(flat, [*(p.numel() for p in learning), len(numbers)])
        for parameter, piece in zip(learning, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)
        return numbers

    def largest(self, *values: int) -> tuple[int, ...]:
        """The largest of each number over the ranks; every rank waits for all others."""
        if self.world == 1:
            return values
        shared = torch.tensor(values)
        with _heard():
            dist.all_reduce(shared, dist.ReduceOp.MAX)
        return tuple(shared.tolist())

    def gathered(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all ranks in their order, on the CPU; `counts` says how many each has."""
        if self.world == 1:
            return rows.cpu()
        # gloo wants the same size from everybody.
        padded = rows.new_zeros(max(counts), *rows.shape[1:], device="cpu")
        padded[: len(rows)] = rows.cpu()
        found = [torch.empty_like(padded) for _ in counts]
        with _heard():
            dist.all_gather(found, padded)
        return torch.cat([piece[:count] for piece, count in zip(found, counts, strict=True)])

    def of_first(self, data: bytes) -> bytes:
        """What rank 0 says; what the others say does not matter."""
        if self.world == 1:
            return data
        with _heard():
            size = torch.tensor(len(data))
            dist.broadcast(size, 0)
            content = torch.empty(int(size), dtype=torch.uint8)
            if self.first:
                content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            if len(content):
                dist.broadcast(content, 0)
        return content.numpy().tobytes()

    def numbers_of_first(self, values: Mapping[str, float]) -> dict[str, float]:
        """Named numbers as rank 0 has them; the names are the same everywhere."""
        if self.world == 1:
            return dict(values)
        shared = torch.tensor([*values.values()], dtype=torch.float64)
        with _heard():
            dist.broadcast(shared, 0)
        return dict(zip(values, shared.tolist(), strict=True))

    def until_all_are_done(self) -> None:
        """Wait for the slowest, which signals may interrupt."""
        if self.world == 1:
            return
        with _heard():
            work = dist.barrier(self.end, async_op=True)
            assert work is not None
            while not work.is_completed():
                time.sleep(0.05)
            work.wait()


ALONE: Final = Ranks()
"""One process that trains by itself."""


@contextmanager
def joined(place: Place | None) -> Iterator[Ranks]:
    """Meet the other processes; `ALONE` without a place.

    Raises:
        InputError: they do not come, or one of them is lost later.
    """
    if place is None:
        yield ALONE
        return
    where = "env://" if place.address is None else f"tcp://{place.address}:{place.port}"
    try:
        dist.init_process_group("gloo", init_method=where, rank=place.rank, world_size=place.world, timeout=PATIENCE)
        end = dist.new_group(backend="gloo", timeout=_END)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            "has not met the others",
            ident=f"rank {place.rank} of {place.world} at {where}",
            remedy="look at what they printed; MASTER_ADDR and MASTER_PORT name another place to meet",
        ) from error
    try:
        yield Ranks(place.rank, place.world, place.local, dist.group.WORLD, end)
    finally:
        # Where a rank is lost there is nobody to say good-bye to.
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


@contextmanager
def _heard() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostRank(
            "another rank of the training has ended or fallen silent",
            ident=f"rank {dist.get_rank()}",
            remedy="what that one printed says why; 'affect train --resume' goes on",
        ) from error


class LostRank(InputError):
    """Another process of the training is gone."""
