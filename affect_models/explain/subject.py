"""What is explained: a finished run's network, and the segments of one part of the dataset that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from affect_models.data.device import BatchSource, device_data
from affect_models.data.opened import OpenSplit, open_split
from affect_models.data.tasks import TaskPart
from affect_models.training import checkpoint as checkpoints
from affect_models.training.checkpoint import Checkpoint
from affect_models.training.devices import choose_device
from affect_models.training.folder import BEST
from affect_models.training.loading import task_parts
from affect_models.training.precision import Arithmetic
from affect_models.training.report import read_report
from mosei_schemas.dataset import MANIFEST
from mosei_schemas.errors import ConfigError, DatasetError
from mosei_schemas.labels import find_task
from mosei_schemas.names import MODALITIES, PARTS


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained.

    Attributes:
        network: in eval mode, on the device.
        arithmetic: as when the run was measured.
        part: the whole part, of which references are drawn.
        present: (N, 3) bool, modalities observed in each segment of the part.
        chosen: numbers of the segments to explain, ascending.
    """

    run: Path
    network: nn.Module
    arithmetic: Arithmetic
    checkpoint: Checkpoint
    split: OpenSplit
    part: TaskPart
    data: BatchSource
    present: npt.NDArray[np.bool_]
    chosen: npt.NDArray[np.int64]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes that condition the prior."""
        return self.part.condition_names


def open_subject(
    run: Path, data: Path | None, part: str | None, segment: str | None, limit: int | None, device: str
) -> Subject:
    """Open a finished run and the part, or the segment, that is to be explained.

    Args:
        run: the run directory.
        data: where its dataset is now; None for where it was.
        part: `train`, `valid` or `test`; None for test, or valid where the split has no test part.
        segment: the id of one segment, instead of a part.
        limit: explain at most so many segments of the part, evenly spaced.
        device: see `choose_device`.

    Raises:
        InputError: there is no finished run. DatasetError: its dataset is gone or is another one.
        ConfigError: no such part, segment or device.
    """
    if part is not None and (segment is not None or part not in PARTS):
        problem = "a segment is named, too" if segment is not None else "no such part"
        raise ConfigError(problem, ident=part, remedy=f"give --segment, or --part with one of: {', '.join(PARTS)}")
    report = read_report(run)
    network, checkpoint = checkpoints.load(run / BEST)
    split = _dataset(data or Path(report.dataset), data is not None, checkpoint)
    name = _part_of(split, segment) if segment is not None else part or ("test" if split.has("test") else "valid")
    config = checkpoint.config
    (found,) = task_parts(split, [name], find_task(config.task), config)
    if not len(found):
        raise DatasetError(
            f"no segment of {name} has a target for {config.task}", path=split.dataset, remedy="choose another --part"
        )
    where = choose_device(device)
    return Subject(
        run,
        network.to(where),
        Arithmetic.of_finished(config.train, where),
        checkpoint,
        split,
        found,
        device_data(found, config.train.max_steps, where),
        _present(found),
        _chosen(found, segment, limit),
    )


def _dataset(dataset: Path, named: bool, checkpoint: Checkpoint) -> OpenSplit:
    if not (dataset / MANIFEST).is_file():
        raise DatasetError("the run's dataset is not here", path=dataset, remedy="say where it is with --data")
    split = open_split(dataset, checkpoint.split)
    if split.manifest_sha256 != checkpoint.manifest_sha256:
        remedy = "name the right one with --data" if named else "say where the run's dataset is with --data"
        raise DatasetError("is not the dataset that the run was trained on", path=dataset, remedy=remedy)
    return split


def _part_of(split: OpenSplit, segment: str) -> str:
    part = split.part_of.get(segment)
    if part not in PARTS:
        problem = "no such segment" if part is None else "in no part of the split"
        raise ConfigError(
            problem, path=split.dataset, ident=segment, remedy="'mosei-align inspect' lists a video's segments"
        )
    return part


def _chosen(part: TaskPart, segment: str | None, limit: int | None) -> npt.NDArray[np.int64]:
    if segment is None:
        count = len(part) if limit is None else min(limit, len(part))
        return np.arange(count) * len(part) // count
    if segment not in part.data.segment_id:
        raise ConfigError("has no target for the run's task", ident=segment, remedy="choose another segment")
    return np.array([part.data.segment_id.index(segment)])


def _present(part: TaskPart) -> npt.NDArray[np.bool_]:
    """(N, 3) whether a step of the modality was observed."""
    offsets, present = part.data.offsets, np.zeros((len(part), len(MODALITIES)), np.bool_)
    for m, modality in enumerate(MODALITIES):
        if modality in part.data.observed:
            counted = np.concatenate(([0], np.cumsum(part.data.observed[modality])))
            present[:, m] = counted[offsets[1:]] > counted[offsets[:-1]]
    return present


def random_of(seed: int, segment_id: str) -> np.random.Generator:
    """A stream of a segment's own, so that it is explained alike alone and among others."""
    return np.random.default_rng([seed, *segment_id.encode()])


def torch_seed(random: np.random.Generator) -> torch.Generator:
    """A torch stream on the CPU from a numpy one."""
    return torch.Generator().manual_seed(int(random.integers(2**63)))
