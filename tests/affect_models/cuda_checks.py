"""Epochs of training on a device that is not there: `cuda_checks.py LIBRARY DATASET`; see `cuda_stand_in`.

Prints a JSON object: check -> what went wrong, empty where nothing did.
"""

from __future__ import annotations

import ctypes
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from cuda_stand_in import CUDA, CudaDevice, WaitsError, cuda_device
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
)

from affect_models.data.device import BatchSource, device_data
from affect_models.data.mapped import MappedPart
from affect_models.data.packed import PackedPart
from affect_models.training import trainer
from affect_models.training.batches import Emphasis
from affect_models.training.config import RunConfig, load_config
from affect_models.training.devices import choose_device
from affect_models.training.distributed import ALONE, Ranks
from affect_models.training.loading import Loaded, load
from affect_models.training.predict import predict
from affect_models.training.stacked import Stack
from affect_models.training.state import TrainingState
from affect_models.training.step import Stepper

SMALL = (
    "net.hidden=8", "net.heads=2", "net.layers=1", "net.ffn=8", "net.d_z=8", "net.fusion_hidden=8",
    "net.unet_channels=8", "train.batch_size=59", "train.max_steps=8", "train.device=cuda",
)  # fmt: skip
LITTLE = ("net.diffusion=false", "net.graph=none")


def opened(dataset: Path, *settings: str, task: str = "emotion6") -> Loaded:
    return load(dataset, "speaker-disjoint", load_config(None, [*SMALL, *settings], {"task": task}))


def fresh(loaded: Loaded, config: RunConfig, device: torch.device) -> TrainingState:
    classes, conditions = len(loaded.train.classes), len(loaded.train.condition_names)
    return TrainingState.fresh(config, device, loaded.split.dims, loaded.task.kind, classes, conditions)


def begun(device: CudaDevice, loaded: Loaded) -> tuple[TrainingState, Stepper, BatchSource]:
    """What `fit` sets up before its loop, where it may wait for the device."""
    config, kind = loaded.config, loaded.task.kind
    with device.allowed():
        chosen = choose_device(config.train.device)
        state = fresh(loaded, config, chosen)
        data = device_data(loaded.train, config.train.max_steps, chosen)
        emphasis = Emphasis.of(loaded.train, kind, config, chosen)
    device.learning = [p for p in state.network.parameters() if p.requires_grad]
    device.copies.clear()
    return state, Stepper.of(state, data, config, kind, emphasis, ALONE), data


def epoch(
    device: CudaDevice, loaded: Loaded, before: Callable[[TrainingState], None] = lambda _state: None
) -> TrainingState:
    """An epoch as `fit` has it, up to where it reads its losses."""
    state, stepper, data = begun(device, loaded)
    with device.allowed():
        before(state)
    plan = trainer.Plan.of(loaded.train, data.lengths, loaded.config, loaded.task.kind, ALONE)
    device.copies.clear()
    asked = mock.Mock(return_value={"total": 0.0})
    with mock.patch.object(TrainingState, "mean_losses", asked):
        trainer._train_epoch(stepper, plan, lambda _steps: None)
    asked.assert_called_once_with(len(loaded.train))
    assert state.progress.step == -(-len(loaded.train) // loaded.config.train.batch_size) > 1
    everything = [*state.network.state_dict().values(), *state.sums.values()]
    everything += [tensor for known in state.optimizer.state.values() for tensor in known.values()]
    assert {tensor.device for tensor in everything} == {CUDA}
    assert state.optimizer.defaults["fused"]
    return state


def compiled(dataset: Path) -> None:
    """Every part that draws, and a compiler that does nothing.

    `torch.compile` gives back what it is given: what is drawn before the network runs is drawn where it runs.
    """
    modes = []

    def compile_(function: Callable[..., Any], *, mode: str, dynamic: bool) -> Callable[..., Any]:
        modes.append((mode, dynamic))
        return function

    net = ("net.classify=denoised", "net.denoise_steps=1", "net.graph=gumbel", "net.free_bits_rule=adaptive")
    settings = ("train.precision=bf16", "train.compile=cuda-graphs", "loss.class_weights=balanced")
    loaded = opened(dataset, *net, *settings, task="emotion-multilabel")
    with cuda_device() as device, mock.patch("torch.compile", compile_):
        epoch(device, loaded)
    assert modes == [("reduce-overhead", False)]


def predicted(device: CudaDevice, state: TrainingState, loaded: Loaded) -> None:
    """Validation, up to where scores come to the host."""

    def gathered(_self: Ranks, rows: Tensor, _counts: Sequence[int]) -> Tensor:
        assert isinstance(rows, FakeTensor)
        assert rows.device == CUDA
        return torch.zeros(rows.shape, dtype=rows.dtype)

    with device.allowed():
        data = device_data(loaded.valid, loaded.config.train.max_steps, CUDA)
    with mock.patch.object(Ranks, "gathered", gathered):
        scores, _ = predict(state.network, data, loaded.task.kind, latent=True)
    assert len(scores) == len(loaded.valid)


def mapped(dataset: Path) -> None:
    """Copies are pinned and not waited for; gathering waits for the copy of the batch before last, and no other.

    What is mapped lies in memory here, as one block.
    """
    loaded = opened(dataset, "train.batch_size=25", *LITTLE)
    data = loaded.train.data
    assert isinstance(data, PackedPart)
    same = {field.name: getattr(data, field.name) for field in fields(data) if field.name != "features"}
    blocks, one_block = {name: [values] for name, values in data.features.items()}, np.zeros(len(data), np.int64)
    part = MappedPart(**same, blocks=blocks, block=one_block, begin=data.offsets[:-1], scalers=loaded.split.scalers)
    loaded = replace(loaded, train=replace(loaded.train, data=part))
    with cuda_device() as device:
        state = epoch(device, loaded)
        assert device.events == state.progress.step > 3
        assert len(device.copies) == 5 * device.events
        assert device.waits == list(range(device.events - 2))
        predicted(device, state, loaded)


def resumed(dataset: Path) -> None:
    """A snapshot is read on the CPU; everything that steps touch is on the device again."""
    loaded = opened(dataset, "train.precision=fp16", "train.sampling=sqrt", "train.buckets=2", task="sentiment")
    on_cpu = loaded.config.train.model_copy(update={"device": "cpu"})
    snapshot = fresh(loaded, loaded.config.model_copy(update={"train": on_cpu}), torch.device("cpu"))
    for parameter in snapshot.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    snapshot.optimizer.step()
    snapshot.sums = {"total": torch.ones(())}
    tensors = snapshot.tensors()
    with cuda_device() as device:
        epoch(device, loaded, lambda state: state.restore(snapshot.progress, tensors))
        assert device.copies == [8 * len(loaded.train)], "the numbers of the segments of all steps"


def stacked(dataset: Path) -> None:
    """Two seeds in one step. A network is copied by making another, as a tensor without values cannot be copied."""
    loaded = opened(dataset, "train.precision=bf16", *LITTLE)
    config = loaded.config
    with cuda_device() as device:
        with device.allowed():
            states = [fresh(loaded, config, CUDA) for _ in range(2)]
            for state in states:
                state.dropout = torch.Generator(CUDA)
            data = device_data(loaded.train, 8, CUDA)
            others = [fresh(loaded, config, CUDA).network for _ in range(2)]
            with mock.patch("affect_models.training.stacked.copy", mock.Mock(deepcopy=lambda _: others.pop())):
                stack = Stack.of(states)
        device.learning = [p for p in stack.together.parameters() if p.requires_grad]
        chosen = data.placed(torch.arange(40).split(20))
        losses = stack.step(chosen, data, config, "multiclass", Emphasis(), 3, 1e-3)
        for place, state in enumerate(states):
            state.step_done({name: loss_S[place] for name, loss_S in losses.items()}, 20)
        assert {loss_S.shape for loss_S in losses.values()} == {(2,)}
        assert {tensor.device for state in states for tensor in state.sums.values()} == {CUDA}


def found() -> None:
    """What the checks look for is found where it is planted."""
    with cuda_device() as device:
        x = torch.ones(3, device="cuda")
        planted: dict[str, tuple[Callable[[], object], type[Exception]]] = {
            "item": (lambda: x.sum().item(), DataDependentOutputException),
            "float": (lambda: float(x[0]), DataDependentOutputException),
            "if": (lambda: bool(x.any()), DataDependentOutputException),
            "mask": (lambda: x[x > 0], DynamicOutputShapeException),
            "two devices": (lambda: x + torch.ones(3), RuntimeError),
            "to the host": (lambda: x.cpu(), WaitsError),
            "not pinned": (lambda: torch.ones(3).to(x.device, non_blocking=True), WaitsError),
            "blocking": (lambda: torch.ones(3).pin_memory().to(x.device), WaitsError),
            "into": (lambda: x.copy_(torch.ones(3)), WaitsError),
        }
        for name, (mistake, error) in planted.items():
            try:
                mistake()
            except error:
                continue
            raise AssertionError(f"{name}: not found")
        torch.ones(3).pin_memory().to(x.device, non_blocking=True)
        assert device.copies == [12] * 4


CHECKS: dict[str, Callable[[Path], None]] = {
    "planted mistakes": lambda _data: found(),
    "bf16, compiled, labels": compiled,
    "fp16, resumed, buckets, score": resumed,
    "tf32, mapped, validation": mapped,
    "bf16, stacked": stacked,
}


def main(library: str, dataset: str) -> None:
    ctypes.CDLL(library)
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    wrong = {}
    for name, check in CHECKS.items():
        try:
            check(Path(dataset))
            wrong[name] = ""
        except Exception:
            wrong[name] = traceback.format_exc()
    print(json.dumps(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
