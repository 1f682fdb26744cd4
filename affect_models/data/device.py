"""Batches where the model is: gathered from arrays that are there already, or from mapped files.

Legend: N = segments, T = steps of all segments, B = batch, L = padded length, S = steps of a batch, D = width of a
modality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from affect_models.data.batch import Batch
from affect_models.data.mapped import MappedPart
from affect_models.data.packed import resident
from affect_models.data.staging import Staging
from affect_models.data.tasks import TaskPart
from mosei_schemas.names import MODALITIES


class BatchSource(Protocol):
    """A part of a split that gives batches; where its features lie is its own business."""

    @property
    def lengths(self) -> Tensor:
        """(N,) int64 on the CPU, steps of each segment."""

    @property
    def device(self) -> torch.device:
        """Where the batches are."""

    def __len__(self) -> int: ...

    def batch(self, chosen_B: Tensor, length: int | None = None) -> Batch:
        """Gather segments into a batch padded to `length` steps (default: the part's L).

        Args:
            chosen_B: (B,) int64 numbers of segments, best as `placed` gives them.
            length: L of this batch.
        """

    def placed(self, chosen: Sequence[Tensor]) -> Sequence[Tensor]:
        """Numbers of the segments of many batches, where `batch` wants them: one transfer for all."""


def device_data(part: TaskPart, length: int, device: torch.device) -> BatchSource:
    """What gives a part's batches, padded to `length` steps: a mapped part stays mapped, others move to the device."""
    if isinstance(part.data, MappedPart):
        return MappedData.of(part, length, device)
    return DeviceData.of(part, length, device)


@dataclass(frozen=True, slots=True)
class DeviceData:
    """A part that is on the device as a whole: nothing crosses a process or the bus while an epoch runs.

    Attributes:
        lengths: (N,) int64 on the CPU, steps of each segment.
        spans: (2, N) int64, where a segment's steps begin and how many it has.
        features: modality -> (T, D); D = 0 for one that the dataset does not have.
        observed: modality -> (T,) bool.
        targets, condition: see `TaskPart`.
        length: L, to which every batch is padded.
    """

    lengths: Tensor
    spans: Tensor
    features: dict[str, Tensor]
    observed: dict[str, Tensor]
    targets: Tensor
    condition: Tensor
    length: int

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.spans.device

    @classmethod
    def of(cls, part: TaskPart, length: int, device: torch.device) -> DeviceData:
        """Move a part to the device; a mapped one is read whole."""
        data = resident(part.data)
        offsets = torch.from_numpy(data.offsets)
        steps = int(offsets[-1])
        features, observed = {}, {}
        for name in MODALITIES:
            has = name in data.features
            features[name] = torch.from_numpy(data.features[name]) if has else torch.zeros(steps, 0)
            observed[name] = torch.from_numpy(data.observed[name]) if has else torch.zeros(steps, dtype=torch.bool)
        return cls(
            offsets.diff(),
            torch.stack([offsets[:-1], offsets.diff()]).to(device),
            {name: values.to(device) for name, values in features.items()},
            {name: values.to(device) for name, values in observed.items()},
            torch.from_numpy(part.targets).to(device),
            torch.from_numpy(part.condition).to(device),
            length,
        )

    def batch(self, chosen_B: Tensor, length: int | None = None) -> Batch:
        """See `BatchSource`."""
        chosen_B = chosen_B.to(self.device, non_blocking=True)
        targets, condition = self.targets[chosen_B], self.condition[chosen_B]
        return _padded(self.features, self.observed, self.spans[:, chosen_B], length or self.length, targets, condition)

    def placed(self, chosen: Sequence[Tensor]) -> Sequence[Tensor]:
        """See `BatchSource`."""
        if self.device.type == "cpu" or not chosen:
            return chosen
        numbers = torch.cat(list(chosen))
        if self.device.type == "cuda":
            numbers = numbers.pin_memory()
        return torch.split(numbers.to(self.device, non_blocking=True), [len(batch) for batch in chosen])


@dataclass(frozen=True, slots=True)
class MappedData:
    """A part that stays in its files: every batch is gathered from the maps, scaled, and moved without its padding.

    Attributes:
        part: the mapped part.
        lengths, targets, condition, length: see `DeviceData`; targets and condition are on the device.
        staging: what batches are gathered to, in turns, so that one can be gathered while the one before is copied.
    """

    part: MappedPart
    lengths: Tensor
    targets: Tensor
    condition: Tensor
    length: int
    staging: list[Staging]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.targets.device

    @classmethod
    def of(cls, part: TaskPart, length: int, device: torch.device) -> MappedData:
        """Move the targets of a mapped part to the device, and nothing else."""
        assert isinstance(part.data, MappedPart)
        lengths = torch.from_numpy(np.diff(part.data.offsets))
        targets, condition = torch.from_numpy(part.targets), torch.from_numpy(part.condition)
        staging = [Staging(device), Staging(device)]
        return cls(part.data, lengths, targets.to(device), condition.to(device), length, staging)

    def batch(self, chosen_B: Tensor, length: int | None = None) -> Batch:
        """See `BatchSource`; what is gathered is copied as one goes on, and only the copy before last is waited for."""
        self.staging.reverse()
        staging = self.staging[0]
        staging.wait()
        names = list(self.part.blocks)
        length_B = self.lengths[chosen_B]
        total = int(length_B.sum())
        vectors = [staging.room(name, total, blocks[0].shape[1:]) for name, blocks in self.part.blocks.items()]
        steps = self.part.gather(chosen_B.numpy(), {n: v.numpy() for n, v in zip(names, vectors, strict=True)})
        masks_SM = staging.room("observed", total, (len(names),), torch.bool)
        for column, name in enumerate(names):
            masks_SM[:, column] = torch.from_numpy(steps.observed[name])
        numbers_B3 = staging.room("numbers", len(chosen_B), (3,), torch.int64)
        numbers_B3[:] = torch.stack([length_B.cumsum(0) - length_B, length_B, chosen_B], dim=1)
        numbers_B3, masks_SM, *vectors = staging.moved([numbers_B3, masks_SM, *vectors])

        features, observed = dict(zip(names, vectors, strict=True)), dict(zip(names, masks_SM.unbind(1), strict=True))
        for name in MODALITIES:
            if name not in features:
                features[name] = torch.zeros(total, 0, device=self.device)
                observed[name] = torch.zeros(total, dtype=torch.bool, device=self.device)
        begin_B, length_B, chosen_B = numbers_B3.unbind(1)
        targets, condition = self.targets[chosen_B], self.condition[chosen_B]
        return _padded(features, observed, torch.stack([begin_B, length_B]), length or self.length, targets, condition)

    def placed(self, chosen: Sequence[Tensor]) -> Sequence[Tensor]:
        """See `BatchSource`; the files are read from the CPU."""
        return chosen


def _padded(
    features: dict[str, Tensor],
    observed: dict[str, Tensor],
    spans_2B: Tensor,
    length: int,
    targets: Tensor,
    condition: Tensor,
) -> Batch:
    """A batch of new tensors from flat steps.

    Args:
        features: modality -> (S, D).
        observed: modality -> (S,) bool.
        spans_2B: where each segment begins in these, and how many steps it has.
        length: L; a longer segment keeps its first L steps.
        targets, condition: of these B segments.
    """
    step_L = torch.arange(length, device=spans_2B.device)
    valid_BL = step_L < spans_2B[1, :, None]
    rows_BL = torch.where(valid_BL, spans_2B[0, :, None] + step_L, 0)
    masks = {name: observed[name][rows_BL] & valid_BL for name in MODALITIES}
    values = {name: features[name][rows_BL].masked_fill_(~masks[name][..., None], 0.0) for name in MODALITIES}
    return Batch(
        **values,
        valid=valid_BL,
        frame_mask=masks,
        present=torch.stack([masks[name].any(dim=1) for name in MODALITIES], dim=1),
        targets=targets,
        condition=condition,
    )
