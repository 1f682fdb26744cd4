"""What can be known of training on a CUDA device without one: no mix-up of devices, no waiting for it, one graph.

`cuda_checks.py` runs epochs on tensors that have a device and no values; here real steps run on the CPU, backward too,
without the operations that on a device would have the host wait. None of it is a run on a real device.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from affect_models.data.device import device_data
from affect_models.training import compiled, measure, trainer
from affect_models.training.batches import Emphasis
from affect_models.training.config import RunConfig, load_config
from affect_models.training.devices import choose_device
from affect_models.training.distributed import ALONE
from affect_models.training.loading import Loaded, load
from affect_models.training.predict import predict
from affect_models.training.run import run
from affect_models.training.stacked import Stack
from affect_models.training.state import TrainingState
from affect_models.training.step import Stepper
from affect_models.training.trainer import Plan

HERE = Path(__file__).parent
CPU = torch.device("cpu")
SMALL = [
    "net.hidden=8", "net.heads=2", "net.layers=1", "net.ffn=8", "net.d_z=8", "net.fusion_hidden=8",
    "net.unet_channels=8", "train.max_steps=8", "train.device=cpu",
]  # fmt: skip
PAGE = ["net.graph=gumbel", "net.classify=denoised", "net.denoise_steps=1", "net.free_bits_rule=adaptive"]


def small(*settings: str) -> RunConfig:
    return load_config(None, [*SMALL, *settings], {"task": "emotion6"})


@pytest.fixture(scope="module")
def loaded(shared_dataset: Path) -> Loaded:
    return load(shared_dataset, "speaker-disjoint", small())


def begun(loaded: Loaded, config: RunConfig) -> tuple[Stepper, Plan]:
    state = TrainingState.fresh(config, CPU, loaded.split.dims, "multiclass", 6, 6)
    data = device_data(loaded.train, 8, CPU)
    emphasis = Emphasis.of(loaded.train, "multiclass", config, CPU)
    stepper = Stepper.of(state, data, config, "multiclass", emphasis, ALONE)
    state.network.train()
    return stepper, Plan.of(loaded.train, data.lengths, config, "multiclass", ALONE)


def fused(optimizer: torch.optim.Optimizer) -> None:
    """Step as on CUDA; the CPU's own way asks for the count of steps."""
    for group in (optimizer.defaults, *optimizer.param_groups):
        group["fused"] = True
    optimizer._step_supports_amp_scaling = True


class NoWaiting(TorchDispatchMode):
    """Refuses operations whose result the host must know before it goes on."""

    WAITING = (
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "equal",
        "is_nonzero",
        "_unique2",
        "unique_consecutive",
    )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(t, Tensor) and t.dtype in (torch.bool, torch.uint8) for t in (args[1] if len(args) > 1 else ())
        )
        counted = func is torch.ops.aten.repeat_interleave.Tensor
        if name in self.WAITING or by_mask or counted:
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mistake", [lambda x: float(x[0]), lambda x: x[x > 0], lambda x: bool(x.any())])
def test_waiting_is_found(mistake: Callable[[Tensor], object]) -> None:
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        mistake(torch.ones(3))


@pytest.mark.parametrize("settings", [["train.clip=joint", "train.accumulate=2"], [*PAGE, "train.precision=bf16"]])
def test_no_step_waits(loaded: Loaded, settings: list[str]) -> None:
    stepper, plan = begun(loaded, small("loss.class_weights=balanced", *settings))
    fused(stepper.state.optimizer)
    steps = plan.epoch([torch.arange(20), torch.arange(20, 40)], stepper.data)
    with NoWaiting():
        for pieces in steps:
            stepper.state.step_done(stepper.step(pieces, 5, 1e-3), 20)


def test_no_step_of_several_seeds_waits(loaded: Loaded) -> None:
    config = small("loss.class_weights=balanced")
    states = [TrainingState.fresh(config, CPU, loaded.split.dims, "multiclass", 6, 6) for _ in range(2)]
    for seed, state in enumerate(states):
        state.dropout = torch.Generator().manual_seed(seed)
    data, emphasis = device_data(loaded.train, 8, CPU), Emphasis.of(loaded.train, "multiclass", config, CPU)
    stack = Stack.of(states)
    fused(stack.optimizer)
    with NoWaiting():
        stack.step(torch.arange(20).split(10), data, config, "multiclass", emphasis, 5, 1e-3)


@pytest.fixture
def one_graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """`torch.compile` with a backend that computes graphs as they are, and none but whole ones; counts them."""
    graphs: list[int] = []

    def backend(module: Any, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(len(inputs))
        return module.forward  # type: ignore[no-any-return]

    compile_ = torch.compile

    def whole(function: Callable[..., Any], *, mode: str, dynamic: bool) -> Callable[..., Any]:
        assert (mode, dynamic) == ("default", False)
        return compile_(function, backend=backend, fullgraph=True, dynamic=dynamic)

    monkeypatch.setattr(compiled.torch, "compile", whole)
    torch._dynamo.reset()
    yield graphs
    torch._dynamo.reset()


def test_a_compiled_step_is_one_graph_and_the_same_step(loaded: Loaded, one_graph: list[int]) -> None:
    """With everything that draws; losses, weights and streams are those of steps that are not compiled, to the bit."""
    ends = []
    for compile_ in ("off", "default"):
        config = small(f"train.compile={compile_}", *PAGE, "net.dropout=0", "net.head_dropout=0")
        stepper, plan = begun(loaded, config)
        for pieces in plan.epoch([torch.arange(20), torch.arange(20, 40)], stepper.data):
            stepper.state.step_done(stepper.step(pieces, 5, 1e-3), 20)
        ends.append(stepper.state.tensors())
    assert len(one_graph) == 1
    for name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][name]), name


@pytest.mark.parametrize(("name", "made_current"), [("cuda:1", [1]), ("cuda", [])])
def test_a_numbered_device_becomes_the_current_one(
    monkeypatch: pytest.MonkeyPatch, name: str, made_current: list[int]
) -> None:
    """Memory is pinned for the current device."""
    current: list[int | None] = []
    monkeypatch.setattr(torch, "zeros", lambda *_args, **_named: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.append(device.index))
    assert choose_device(name) == torch.device(name)
    assert current == made_current


def test_parts_are_measured_with_the_arithmetic_of_training(
    shared_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_force: list[str]
) -> None:
    """The checkpoint was chosen with it: on CUDA torch's own default is another."""
    predicted: list[tuple[str, ...]] = []

    def watched(*args: Any, **named: Any) -> Any:
        predicted.append(tuple(in_force))
        return predict(*args, **named)

    monkeypatch.setattr(trainer, "predict", watched)
    monkeypatch.setattr(measure, "predict", watched)
    few = ("train.epochs=1", "evaluation.resamples=10", "evaluation.floors=false")
    run(shared_dataset, "speaker-disjoint", small("train.precision=bf16", *few), tmp_path / "run")
    assert predicted == [("bf16",)] * 3  # valid while training, then valid and test


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    import cuda_stand_in

    folder, installed = tmp_path_factory.mktemp("guard"), Path(torch.__file__).parent
    (folder / "guard.cpp").write_text(cuda_stand_in.GUARD)
    command = [compiler, "-O0", "-std=c++20", "-shared", "-fPIC", f"-I{installed / 'include'}", "guard.cpp"]
    link = [f"-L{installed / 'lib'}", "-lc10", "-o", "guard.so"]
    done = subprocess.run([*command, *link], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"g++ cannot compile torch's headers: {done.stderr[:200]}")
    return folder / "guard.so"


def test_epochs_on_a_device_that_is_not_there(library: Path, shared_dataset: Path) -> None:
    command = [sys.executable, str(HERE / "cuda_checks.py"), str(library), str(shared_dataset)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    wrong = json.loads(done.stdout)
    assert len(wrong) == 5
    assert not any(wrong.values()), "\n".join(f"{name}: {text}" for name, text in wrong.items() if text)
