"""With how many digits a training computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from affect_models.training.config import TrainConfig
from mosei_schemas.errors import ConfigError

_HALF: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How numbers are computed.

    Attributes:
        precision: `fp32`, `tf32`, `bf16` or `fp16`.
        device: where.
        scaler: scales the loss of `fp16`, whose gradients would otherwise vanish; None for the others.
    """

    precision: str
    device: torch.device
    scaler: torch.amp.GradScaler | None

    @classmethod
    def of(cls, config: TrainConfig, device: torch.device) -> Arithmetic:
        """The arithmetic of a configuration on a device.

        Raises:
            ConfigError: the device has no such arithmetic, or the switches exclude each other.
        """
        cuda = device.type == "cuda"
        precision = _precision(config, device)
        if precision == "tf32" and not cuda:
            raise ConfigError("needs CUDA", ident="train.precision = tf32", remedy="use fp32 or bf16")
        if config.compile == "cuda-graphs":
            if not cuda:
                raise ConfigError("needs CUDA", ident="train.compile = cuda-graphs", remedy="use default or off")
            if config.accumulate > 1:
                raise ConfigError(
                    "a graph writes its gradients to the same place each time, so they cannot be accumulated",
                    ident="train.compile = cuda-graphs",
                    remedy="set train.accumulate = 1, or train.compile = default",
                )
        if config.compile != "off" and config.buckets > 1:
            raise ConfigError(
                "wants batches of one shape", ident=f"train.compile = {config.compile}", remedy="set train.buckets = 0"
            )
        scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        return cls(precision, device, scaler)

    @classmethod
    def of_finished(cls, config: TrainConfig, device: torch.device) -> Arithmetic:
        """The arithmetic in which a finished run was measured, as far as this device has it: nothing is refused."""
        return cls(_precision(config, device), device, None)

    def forward(self) -> AbstractContextManager[Any]:
        """The context of the forward pass and its losses."""
        if self.precision in _HALF:
            return torch.autocast(self.device.type, dtype=_HALF[self.precision])
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled where there is a scaler."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale out of the gradients again."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step; under `fp16` one whose gradients are not finite is left out, and the scale is halved."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    @contextmanager
    def matmuls(self) -> Iterator[None]:
        """Inside, CUDA multiplies 32-bit floats with as many digits as `precision` says; afterwards as before."""
        if self.device.type != "cuda":
            yield
            return
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("highest" if self.precision == "fp32" else "high")
        torch.backends.cudnn.allow_tf32 = self.precision != "fp32"
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]


def _precision(config: TrainConfig, device: torch.device) -> str:
    """The precision that `auto` stands for on a device; any other is meant."""
    if config.precision != "auto":
        return config.precision
    return "tf32" if device.type == "cuda" else "fp32"
