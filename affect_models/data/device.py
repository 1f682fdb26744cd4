"""Batches gathered where the model is: nothing crosses a process or the bus while an epoch runs.

Legend: N = segments, T = steps of all segments, B = batch, L = padded length, D = width of a modality.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from affect_models.data.batch import Batch
from affect_models.data.tasks import TaskPart
from mosei_schemas.names import MODALITIES


@dataclass(frozen=True, slots=True)
class DeviceData:
    """A part of a split on the device.

    Attributes:
        offsets, lengths: (N,) int64, where a segment's steps begin and how many it has.
        features: modality -> (T, D); D = 0 for one that the dataset does not have.
        observed: modality -> (T,) bool.
        targets, condition: see `TaskPart`.
        length: L, to which every batch is padded.
    """

    offsets: Tensor
    lengths: Tensor
    features: dict[str, Tensor]
    observed: dict[str, Tensor]
    targets: Tensor
    condition: Tensor
    length: int

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, part: TaskPart, length: int, device: torch.device) -> DeviceData:
        """Move a part to the device."""
        offsets = torch.from_numpy(part.data.offsets)
        steps = int(offsets[-1])
        features, observed = {}, {}
        for name in MODALITIES:
            has = name in part.data.features
            features[name] = torch.from_numpy(part.data.features[name]) if has else torch.zeros(steps, 0)
            observed[name] = torch.from_numpy(part.data.observed[name]) if has else torch.zeros(steps, dtype=torch.bool)
        return cls(
            offsets[:-1].to(device),
            offsets.diff().to(device),
            {name: values.to(device) for name, values in features.items()},
            {name: values.to(device) for name, values in observed.items()},
            torch.from_numpy(part.targets).to(device),
            torch.from_numpy(part.condition).to(device),
            length,
        )

    def batch(self, chosen_B: Tensor, length: int | None = None) -> Batch:
        """Gather segments into a batch padded to `length` steps (default: the part's L).

        Args:
            chosen_B: (B,) int64 numbers of segments, on the device.
        """
        step_L = torch.arange(length or self.length, device=chosen_B.device)
        valid_BL = step_L < self.lengths[chosen_B, None]
        rows_BL = torch.where(valid_BL, self.offsets[chosen_B, None] + step_L, 0)
        masks = {name: self.observed[name][rows_BL] & valid_BL for name in MODALITIES}
        values = {name: self.features[name][rows_BL].masked_fill_(~masks[name][..., None], 0.0) for name in MODALITIES}
        return Batch(
            **values,
            valid=valid_BL,
            frame_mask=masks,
            present=torch.stack([masks[name].any(dim=1) for name in MODALITIES], dim=1),
            targets=self.targets[chosen_B],
            condition=self.condition[chosen_B],
        )
