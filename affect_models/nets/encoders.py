"""The three unimodal encoders (section IV-B of the paper).

Legend: B = batch, M = 3 modalities (text, audio, video), L = steps, D = hidden width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from affect_models.data.batch import Batch
from affect_models.nets.layers import ConvFront, LinearFront, Transformer, sinusoidal
from mosei_schemas.names import MODALITIES

CONV_KERNEL = {"audio": 5, "video": 3}
"""Steps that the convolution of a modality sees; text has a Linear."""


def observed_steps(batch: Batch, dims: Mapping[str, int]) -> Tensor:
    """(B, M, L) bool: the modality is in the model, present in the segment and observed at this valid step."""
    masks = []
    for index, modality in enumerate(MODALITIES):
        mask_BL = batch.frame_mask[modality] & batch.valid & batch.present[:, index, None]
        masks.append(mask_BL if dims[modality] else torch.zeros_like(mask_BL))
    return torch.stack(masks, dim=1)


class ModalityEncoder(nn.Module):
    """Front, sinusoidal positions, Transformer."""

    def __init__(
        self, modality: str, width: int, *, hidden: int, heads: int, layers: int, ffn: int, dropout: float
    ) -> None:
        super().__init__()
        kernel = CONV_KERNEL.get(modality)
        self.front = ConvFront(width, hidden, kernel) if kernel else LinearFront(width, hidden)
        self.transformer = Transformer(layers, hidden, heads, ffn, dropout)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, width), (B, L) -> (B, L, hidden).

        Unobserved steps are zero on the way in, no attention keys on the way and zero again on the way out.
        """
        h_BLD = self.front(x_BLD, mask_BL)
        position_LD = sinusoidal(torch.arange(h_BLD.shape[1], device=h_BLD.device), h_BLD.shape[2])
        encoded_BLD: Tensor = self.transformer(h_BLD + position_LD, mask_BL)
        return encoded_BLD


class Encoders(nn.Module):
    """One encoder for every modality that the dataset has; a modality of width 0 has no parameters."""

    def __init__(
        self, dims: Mapping[str, int], *, hidden: int, heads: int, layers: int, ffn: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.by_modality = nn.ModuleDict(
            {
                modality: ModalityEncoder(
                    modality, dims[modality], hidden=hidden, heads=heads, layers=layers, ffn=ffn, dropout=dropout
                )
                for modality in MODALITIES
                if dims[modality]
            }
        )

    def forward(self, batch: Batch, mask_BML: Tensor) -> Tensor:
        """A batch and its `observed_steps` -> (B, M, L, D), zeros for a modality of width 0."""
        nothing_BLD = torch.zeros(*batch.valid.shape, self.hidden, device=batch.valid.device)
        return torch.stack(
            [
                self.by_modality[m](batch.features(m), mask_BML[:, index]) if m in self.by_modality else nothing_BLD
                for index, m in enumerate(MODALITIES)
            ],
            dim=1,
        )
