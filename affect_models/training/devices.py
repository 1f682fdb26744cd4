"""Where a run computes, and what its numbers depend on beside its configuration and its data."""

from __future__ import annotations

import platform

import torch

from affect_models.training.config import RunConfig
from affect_models.training.distributed import ALONE, Ranks
from mosei_schemas.errors import ConfigError
from mosei_schemas.version import __version__


def choose_device(name: str, local: int = 0, world: int = 1) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one, and each process of a machine gets its own.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        local: number of the process on its machine.
        world: processes that train together.

    Raises:
        ConfigError: there is no such device, or one for several processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and world > 1:
            if device.index is not None:
                raise ConfigError(f"is one device for {world} ranks", ident=name, remedy="use --device cuda")
            device = torch.device("cuda", local % max(torch.cuda.device_count(), 1))
        torch.zeros(1, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # else pinned memory would belong to the first one
    except (RuntimeError, AssertionError) as error:
        raise ConfigError("no such device here", ident=name, remedy="use --device auto or cpu") from error
    return device


def environment(config: RunConfig, ranks: Ranks = ALONE) -> dict[str, str]:
    """Versions, device, threads and ranks: with all of them the same, a run on the CPU repeats to the last bit."""
    device = choose_device(config.train.device, ranks.local, ranks.world)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "mosei-align": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": f"{device.type} ({name})",
        "threads": str(torch.get_num_threads()),
        "ranks": str(ranks.world),
    }
