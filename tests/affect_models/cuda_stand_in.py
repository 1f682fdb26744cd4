"""A CUDA device that is not there, for a build of torch without CUDA.

A tensor on it is a `FakeTensor`: it has a shape, a type and a device, and no values. Tensors on the CPU stay real, so
that what the host decides is decided as always. What would fail on a device, or would have the host wait for it,
raises: operands on two devices, `item`, `tolist` and `if` on a tensor, an index that is a mask, a copy to the host, a
copy to the device from memory that is not pinned, or one that blocks.

Nothing is computed, so this says nothing about values, kernels, streams or graphs. These stand in for what is missing:

- a device guard that does nothing, in a library that is compiled from `GUARD`: torch asks for one wherever it indexes;
- generators on the CPU that say they are on the device;
- `Tensor.backward`, which gives every parameter a gradient: autograd asks for a device's streams;
- one stream, and events that note who waits for them; pinned memory, which is a note on ordinary memory;
- answers to torch.cuda's questions: it is initialised, device 0 is current, it has bf16 and can scale gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GUARD = """
#include <c10/core/impl/DeviceGuardImplInterface.h>
C10_REGISTER_GUARD_IMPL(CUDA, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA>)
"""
CUDA = torch.device("cuda", 0)
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_PIN = torch.ops.aten._pin_memory.default
_Generator = torch.Generator


class WaitsError(Exception):
    """Here the host would wait for the device."""


class CudaDevice(TorchDispatchMode):
    """Inside, tensors on `cuda` have no values.

    Attributes:
        copies: bytes of every copy from the host.
        waits: every event that the host has waited for, by number.
        events: how many there have been.
        learning: the parameters that `backward` gives a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[int] = []
        self.waits: list[int] = []
        self.events = 0
        self.learning: Sequence[nn.Parameter] = ()
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._pinned: dict[int, Tensor] = {}
        self._allowed = False

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, copies may be waited for, as they are before training and after an epoch."""
        self._allowed = True
        yield
        self._allowed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `TorchDispatchMode`."""
        kwargs = dict(kwargs or {})
        if func.namespace == "prim":
            return func(*args, **kwargs)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # under inference_mode such operators come whole
                return func.decompose(*args, **kwargs)
        if kwargs.pop("pin_memory", False) or func is _PIN:
            pinned: Tensor = args[0].clone() if func is _PIN else func(*args, **kwargs)
            self._pinned[pinned.untyped_storage().data_ptr()] = pinned
            return pinned
        leaves = tree_leaves((args, kwargs))
        here = any(isinstance(leaf, FakeTensor) for leaf in leaves)
        there = any(isinstance(leaf, torch.device) and leaf.type == "cuda" for leaf in leaves)
        if not here and not there:
            return func(*args, **kwargs)
        with self._fake:
            found = func(*args, **kwargs)
        if func in _COPIES:
            source = args[1] if func is _COPIES[1] else args[0]
            self._copied(source, found.device, kwargs.get("non_blocking", False) or args[2:] == (True,))
        return found

    def _copied(self, source: Tensor, goal: torch.device, non_blocking: bool) -> None:
        if source.device == goal or source.dim() == 0:  # a number of the host goes along with the kernel
            return
        blocks = not non_blocking
        if goal.type == "cuda":
            self.copies.append(source.numel() * source.element_size())
            blocks |= source.untyped_storage().data_ptr() not in self._pinned
        if (blocks or goal.type == "cpu") and not self._allowed:
            raise WaitsError(f"{tuple(source.shape)} goes to {goal.type}")

    def backward(self, loss: Tensor) -> None:
        """In place of autograd's: refuse what it could not begin from, and give every parameter a gradient."""
        assert (loss.requires_grad, loss.device, loss.dtype, loss.dim()) == (True, CUDA, torch.float32, 0)
        for parameter in self.learning:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad + 0


class _CudaGenerator(_Generator):
    device = CUDA  # type: ignore[assignment]


def _generator(device: torch.device | str = "cpu") -> torch.Generator:
    return _CudaGenerator() if torch.device(device).type == "cuda" else _Generator()


class _Event:
    def __init__(self, device: CudaDevice) -> None:
        self._device, self._number = device, device.events
        device.events += 1

    def synchronize(self) -> None:
        self._device.waits.append(self._number)


class _Stream:
    def __init__(self, device: CudaDevice) -> None:
        self._device = device

    def record_event(self) -> _Event:
        return _Event(self._device)


@contextmanager
def cuda_device() -> Iterator[CudaDevice]:
    """A device; the library of `GUARD` is loaded."""
    device = CudaDevice()
    stand_ins: dict[str, Any] = {
        "torch.Generator": _generator,
        "torch.Tensor.backward": lambda loss: device.backward(loss),
        "torch.cuda._lazy_init": lambda: None,
        "torch.cuda.init": lambda: None,
        "torch.cuda.current_device": lambda: 0,
        "torch.cuda.current_stream": lambda _device: _Stream(device),
        "torch.cuda.default_generators": (_CudaGenerator(),),
        "torch.cuda.is_bf16_supported": lambda: True,
        "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
    }
    with ExitStack() as patched:
        for name, stand_in in stand_ins.items():
            patched.enter_context(mock.patch(name, stand_in))
        with device:
            yield device
