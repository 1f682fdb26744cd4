"""The noise predictor: a 1-D U-Net over the steps of a segment (section IV-E of the paper).

Legend: B = batch, D = latent width d_z, C = channels, L = steps, K = width of the condition, M = 3 modalities.
Every norm and convolution is blind to padding, so the prediction at a valid step does not depend on how long the batch
was padded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affect_models.nets.layers import GROUPS, MaskedGroupNorm, sinusoidal


class ResBlock(nn.Module):
    """Norm, SiLU, conv, + condition, norm, SiLU, conv, + the input."""

    def __init__(self, width_in: int, width_out: int, condition: int) -> None:
        super().__init__()
        self.norm_in = MaskedGroupNorm(GROUPS, width_in)
        self.conv_in = nn.Conv1d(width_in, width_out, 3, padding=1)
        self.condition = nn.Linear(condition, width_out)
        self.norm_out = MaskedGroupNorm(GROUPS, width_out)
        self.conv_out = nn.Conv1d(width_out, width_out, 3, padding=1)
        self.skip = nn.Identity() if width_in == width_out else nn.Conv1d(width_in, width_out, 1)

    def forward(self, x_BCL: Tensor, cond_BK: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, width_in, L) -> (B, width_out, L)."""
        h_BCL = self.conv_in(F.silu(self.norm_in(x_BCL, mask_BL))) + self.condition(cond_BK)[:, :, None]
        h_BCL = self.conv_out(F.silu(self.norm_out(h_BCL, mask_BL)))
        out_BCL: Tensor = h_BCL + self.skip(x_BCL)
        return out_BCL


class Downsample(nn.Module):
    """Half the steps: a convolution of stride 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def forward(self, x_BCL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L/2)."""
        y_BCL: Tensor = self.conv(x_BCL.masked_fill(~mask_BL[:, None], 0.0))
        return y_BCL


class Upsample(nn.Module):
    """Twice the steps: each step repeated, then a convolution."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width_out, 3, padding=1)

    def forward(self, x_BCL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, width_in, L/2), the mask of the L steps -> (B, width_out, L)."""
        wide_BCL = F.interpolate(x_BCL, scale_factor=2.0, mode="nearest")
        y_BCL: Tensor = self.conv(wide_BCL.masked_fill(~mask_BL[:, None], 0.0))
        return y_BCL


class Condition(nn.Module):
    """c = MLP_t(t) + Emb_y(y) + MLP_w(w), eq. 9."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.label = nn.Embedding(classes + 1, width)
        self.weight = nn.Sequential(nn.Linear(3, width // 2), nn.SiLU(), nn.Linear(width // 2, width))

    def forward(self, t_B: Tensor, label_B: Tensor, w_BM: Tensor) -> Tensor:
        """(B,), (B,), (B, 3) -> (B, K); the gate `w` gets no gradient."""
        cond_BK: Tensor = self.time(sinusoidal(t_B, self.width)) + self.label(label_B) + self.weight(w_BM.detach())
        return cond_BK


class UNet1d(nn.Module):
    """Two downsamplings, one ResBlock a level, channels x1, x2, x4, concatenated skips.

    Args:
        d_z: latent width D.
        classes: classes of the condition; label `classes` is the null class.
        channels: channels of the first level; a multiple of 8.
        condition: width K of the condition, even.
    """

    def __init__(self, d_z: int, classes: int, channels: int = 128, condition: int = 128) -> None:
        super().__init__()
        low, mid, high = channels, 2 * channels, 4 * channels
        self.condition = Condition(classes, condition)
        self.conv_in = nn.Conv1d(d_z, low, 1)
        self.enter_1 = ResBlock(low, low, condition)
        self.down_1 = Downsample(low)
        self.enter_2 = ResBlock(low, mid, condition)
        self.down_2 = Downsample(mid)
        self.bottom = ResBlock(mid, high, condition)
        self.up_2 = Upsample(high, mid)
        self.leave_2 = ResBlock(2 * mid, mid, condition)
        self.up_1 = Upsample(mid, low)
        self.leave_1 = ResBlock(2 * low, low, condition)
        self.norm_out = MaskedGroupNorm(GROUPS, low)
        self.conv_out = nn.Conv1d(low, d_z, 1)

    def forward(self, z_BDL: Tensor, t_B: Tensor, label_B: Tensor, w_BM: Tensor, valid_BL: Tensor) -> Tensor:
        """The predicted noise.

        Args:
            z_BDL: (B, D, L) noised latent.
            t_B: (B,) diffusion times.
            label_B: (B,) int64 classes.
            w_BM: (B, 3) weights of the modalities.
            valid_BL: (B, L) bool; z is zeroed elsewhere.

        Returns:
            (B, D, L), zero at padded steps.
        """
        steps = z_BDL.shape[-1]
        missing = -steps % 4  # two halvings
        mask_BL = F.pad(valid_BL, (0, missing))
        half_BL = mask_BL.view(len(mask_BL), -1, 2).any(-1)
        quarter_BL = half_BL.view(len(mask_BL), -1, 2).any(-1)
        cond_BK = F.silu(self.condition(t_B, label_B, w_BM))

        z_BDL = F.pad(z_BDL, (0, missing)).masked_fill(~mask_BL[:, None], 0.0)
        fine_BCL = self.enter_1(self.conv_in(z_BDL), cond_BK, mask_BL)
        coarse_BCL = self.enter_2(self.down_1(fine_BCL, mask_BL), cond_BK, half_BL)
        h_BCL = self.bottom(self.down_2(coarse_BCL, half_BL), cond_BK, quarter_BL)
        h_BCL = torch.cat([self.up_2(h_BCL, half_BL), coarse_BCL], dim=1)
        h_BCL = self.leave_2(h_BCL, cond_BK, half_BL)
        h_BCL = torch.cat([self.up_1(h_BCL, mask_BL), fine_BCL], dim=1)
        h_BCL = self.leave_1(h_BCL, cond_BK, mask_BL)
        eps_BDL: Tensor = self.conv_out(F.silu(self.norm_out(h_BCL, mask_BL)))
        return eps_BDL.masked_fill(~mask_BL[:, None], 0.0)[..., :steps]
