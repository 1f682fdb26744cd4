"""Random batches, small networks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from affect_models.data.batch import Batch
from affect_models.training.precision import Arithmetic

NAMES = ("text", "audio", "video")
DIMS = {"text": 7, "audio": 5, "video": 4}
SMALL = {
    "affect-diff": {
        "hidden": 32,
        "heads": 2,
        "layers": 1,
        "ffn": 48,
        "d_z": 16,
        "fusion_hidden": 24,
        "unet_channels": 8,
        "timesteps": 40,
        "ddim_steps": 5,
    }
}


def random_batch(
    size: int = 8,
    steps: int = 9,
    dims: dict[str, int] = DIMS,
    classes: int = 4,
    kind: str = "multiclass",
    seed: int = 0,
) -> Batch:
    g = torch.Generator().manual_seed(seed)
    length = torch.randint(2, steps + 1, (size, 1), generator=g)
    length[0] = steps
    valid = torch.arange(steps)[None] < length
    frame_mask = {}
    for index, name in enumerate(NAMES):
        frame_mask[name] = valid & (torch.rand(size, steps, generator=g) < 0.8) & (dims[name] > 0)
        frame_mask[name][1 + index] = False  # segment 1 + m lacks modality m
    condition = torch.randint(classes, (size,), generator=g)
    targets = {
        "multiclass": condition,
        "multilabel": (torch.rand(size, classes, generator=g) < 0.4).float(),
        "regression": torch.randn(size, generator=g),
    }[kind]
    return Batch(
        **{name: torch.randn(size, steps, dims[name], generator=g) for name in NAMES},
        valid=valid,
        frame_mask=frame_mask,
        present=torch.stack([frame_mask[name].any(1) for name in NAMES], dim=1),
        targets=targets,
        condition=condition,
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    return random_batch


@pytest.fixture(scope="session")
def small() -> dict[str, dict[str, object]]:
    """Fast configurations, by model; a model that is not named runs with its defaults."""
    return SMALL


@pytest.fixture(scope="session")
def dims() -> dict[str, int]:
    return DIMS


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precisions whose `matmuls` the program is inside of, while it runs."""
    inside: list[str] = []

    @contextmanager
    def matmuls(arithmetic: Arithmetic) -> Iterator[None]:
        inside.append(arithmetic.precision)
        yield
        inside.pop()

    monkeypatch.setattr(Arithmetic, "matmuls", matmuls)
    return inside
