"""Layers that treat a masked step as if it were not there.

Legend: B = batch, L = steps, C = channels, D = width, H = heads, K = width of a head, N = any number of positions.
A mask is (B, L) bool and true where a step counts. Masked values are replaced, never multiplied by zero, so that a NaN
at a masked place reaches neither the output nor a gradient.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8
"""Groups of every group norm."""


def sinusoidal(position_N: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of positions or diffusion times: (N,) -> (N, width), sines first; `width` is even."""
    half = width // 2
    exponent = torch.arange(half, device=position_N.device, dtype=torch.float32) / half
    angle = position_N.float()[:, None] * torch.exp(-math.log(10_000.0) * exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def zero_masked(x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """`x` with zeros at the masked steps."""
    return x_BLD.masked_fill(~mask_BL[..., None], 0.0)


def masked_mean(x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean over the steps that count, (..., L, D) -> (..., D); zeros where none does."""
    return zero_masked(x_BLD, mask_BL).sum(-2) / mask_BL.sum(-1).clamp(min=1)[..., None]


def attendable(mask_BL: Tensor) -> Tensor:
    """The mask itself, or all steps in a row that has none, since a softmax over nothing is NaN."""
    return mask_BL | ~mask_BL.any(-1, keepdim=True)


class MaskedGroupNorm(nn.Module):
    """Group norm over (channels of a group, time) whose statistics come from the steps that count only.

    The ordinary group norm would let the amount of padding change every output. Gives zeros at the masked steps.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, C, L), (B, L) -> (B, C, L)."""
        batch, channels, steps = x_BCL.shape
        hidden_B11L = ~mask_BL[:, None, None, :]
        x = x_BCL.masked_fill(hidden_B11L[:, 0], 0.0).view(batch, self.groups, -1, steps)
        count_B111 = (mask_BL.sum(-1).clamp(min=1) * (channels // self.groups))[:, None, None, None]
        centred = (x - x.sum((2, 3), keepdim=True) / count_B111).masked_fill(hidden_B11L, 0.0)
        variance = centred.square().sum((2, 3), keepdim=True) / count_B111
        normal_BCL = (centred * torch.rsqrt(variance + self.eps)).view(batch, channels, steps)
        scaled_BCL = normal_BCL * self.weight[:, None] + self.bias[:, None]
        return scaled_BCL.masked_fill(hidden_B11L[:, 0], 0.0)


class LinearFront(nn.Module):
    """The text front: a Linear at every step."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, hidden)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, width) -> (B, L, hidden)."""
        h_BLD: Tensor = self.project(zero_masked(x_BLD, mask_BL))
        return h_BLD


class ConvFront(nn.Module):
    """The audio and video front: Conv1d, group norm and GELU, blind to masked steps."""

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, hidden, kernel, padding=kernel // 2)
        self.norm = MaskedGroupNorm(GROUPS, hidden)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, width) -> (B, L, hidden), zero at the masked steps."""
        h_BCL = self.conv(zero_masked(x_BLD, mask_BL).transpose(1, 2))
        return F.gelu(self.norm(h_BCL, mask_BL)).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention whose keys are the steps that count."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x_BLD: Tensor, key_BL: Tensor) -> Tensor:
        """(B, L, D), (B, L) -> (B, L, D); every row of `key_BL` needs a true (see `attendable`)."""
        batch, steps, width = x_BLD.shape
        q_BHLK, k_BHLK, v_BHLK = self.qkv(x_BLD).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y_BHLK = F.scaled_dot_product_attention(q_BHLK, k_BHLK, v_BHLK, key_BL[:, None, None, :], dropout)
        y_BLD: Tensor = self.out(y_BHLK.transpose(1, 2).reshape(batch, steps, width))
        return y_BLD


class TransformerLayer(nn.Module):
    """Pre-norm: x + attention(norm(x)), then x + FFN(norm(x))."""

    def __init__(self, hidden: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden)
        self.attention = SelfAttention(hidden, heads, dropout)
        self.ffn_norm = nn.LayerNorm(hidden)
        self.ffn = nn.Sequential(nn.Linear(hidden, ffn), nn.GELU(), nn.Dropout(dropout), nn.Linear(ffn, hidden))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLD: Tensor, key_BL: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x_BLD = x_BLD + self.dropout(self.attention(self.attention_norm(x_BLD), key_BL))
        y_BLD: Tensor = x_BLD + self.dropout(self.ffn(self.ffn_norm(x_BLD)))
        return y_BLD


class Transformer(nn.Module):
    """Pre-norm layers and the final LayerNorm that a pre-norm stack needs."""

    def __init__(self, layers: int, hidden: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(hidden, heads, ffn, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D), zero at the masked steps; a row with no step at all is finite."""
        key_BL = attendable(mask_BL)
        for layer in self.layers:
            x_BLD = layer(x_BLD, key_BL)
        return zero_masked(self.norm(x_BLD), mask_BL)
