"""Augmentation of a training batch on its device (section IV-H of the paper); never for validation or test.

Legend: B = batch, M = 3 modalities, L = steps, D = width of a modality, N = things that may be dropped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from affect_models.data.batch import Batch, Streams
from mosei_schemas.manifest import Strict
from mosei_schemas.names import MODALITIES

Share = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(Strict):
    """How much is dropped and blurred; the defaults are the paper's."""

    frame_mask: Share = 0.1
    """Chance of an observed step of a modality to be masked."""
    noise_std: Annotated[float, Field(ge=0)] = 0.01
    """Standard deviation of the noise on audio and video, in units of the normalised features."""
    modality_dropout: Share = 0.1
    """Chance of a present modality of a segment to be removed."""


def augment(batch: Batch, streams: Streams, config: AugmentConfig) -> Batch:
    """A new batch: modalities removed, then steps masked, then noise on what is still observed.

    Deviation from the paper: a segment keeps at least one modality and one observed step of what it had, since there
    is nothing to learn from none. `present` follows the masks; values at masked places stay and mean nothing.
    """
    generator = streams.augmentation
    mask_BML = torch.stack([batch.frame_mask[m] & batch.valid for m in MODALITIES], dim=1)
    mask_BML = mask_BML & batch.present[:, :, None]
    mask_BML = mask_BML & _thin(mask_BML.any(-1), config.modality_dropout, generator)[:, :, None]
    mask_BML = _thin(mask_BML.flatten(1), config.frame_mask, generator).view_as(mask_BML)
    masks = dict(zip(MODALITIES, mask_BML.unbind(1), strict=True))
    return replace(
        batch,
        audio=_noisy(batch.audio, masks["audio"], config.noise_std, generator),
        video=_noisy(batch.video, masks["video"], config.noise_std, generator),
        frame_mask=masks,
        present=mask_BML.any(-1),
    )


def _thin(mask_BN: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The mask with each true dropped with chance `share`, but never the last one of a row."""
    u_BN = torch.rand(mask_BN.shape, generator=generator, device=mask_BN.device).masked_fill(~mask_BN, -1.0)
    # The largest draw of a row survives whatever the share is; a row without any true has -1 there and stays empty.
    best_B1 = u_BN.argmax(-1, keepdim=True)
    return (u_BN >= share).scatter(1, best_B1, True) & mask_BN


def _noisy(x_BLD: Tensor, mask_BL: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise at the observed steps."""
    noise_BLD = std * torch.randn(x_BLD.shape, generator=generator, device=x_BLD.device)
    return torch.where(mask_BL[..., None], x_BLD + noise_BLD, x_BLD)
