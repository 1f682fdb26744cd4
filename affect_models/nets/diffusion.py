"""The conditional diffusion prior over the latent (section IV-E of the paper).

Legend: B = batch, L = steps, D = latent width d_z, T = diffusion times, M = 3 modalities.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affect_models.nets.layers import zero_masked
from affect_models.nets.noise import Source, integers, normal, uniform
from affect_models.nets.unet import UNet1d


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """How much of the latent and of the noise z_t holds: z_t = signal[t] z_0 + noise[t] eps, both (T,)."""

    signal: Tensor
    noise: Tensor


def cosine_alpha_bar(timesteps: int, offset: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """The cosine schedule of Nichol and Dhariwal: alpha-bar, (T,) float64, falling from nearly 1 to nearly 0."""
    x = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + offset) / (1 + offset)
    level = torch.cos(x * math.pi / 2).square()
    beta_T = (1 - level[1:] / level[:-1]).clamp(max=max_beta)
    return (1 - beta_T).cumprod(0)


def cosine_schedule(timesteps: int) -> NoiseSchedule:
    """sqrt(alpha-bar) and sqrt(1 - alpha-bar) in float32; the difference is taken in float64, where it is exact."""
    alpha_bar_T = cosine_alpha_bar(timesteps)
    return NoiseSchedule(alpha_bar_T.sqrt().float(), (1 - alpha_bar_T).sqrt().float())


def q_sample(z0_BLD: Tensor, t_B: Tensor, eps_BLD: Tensor, schedule: NoiseSchedule) -> Tensor:
    """z_t of eq. 8: (B, L, D), (B,), (B, L, D) -> (B, L, D)."""
    return schedule.signal[t_B][:, None, None] * z0_BLD + schedule.noise[t_B][:, None, None] * eps_BLD


def guided(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: uncond + scale (cond - uncond)."""
    return uncond + scale * (cond - uncond)


def ddim_times(timesteps: int, steps: int) -> list[int]:
    """`steps` evenly spaced times, latest first, down to 0.

    They start one stride below T: at T - 1 the cosine schedule keeps so little signal (5e-5) that dividing by it
    would blow the error of the predicted noise up 20,000 times.
    """
    return [k * timesteps // steps for k in reversed(range(steps))]


def denoising_times(start: int, steps: int) -> list[int]:
    """`steps` evenly spaced times, latest first, from start - 1 down to one stride above -1."""
    return [k * start // steps - 1 for k in range(steps, 0, -1)]


def ddim_sample(
    predict: Callable[[Tensor, int], Tensor], noise_BLD: Tensor, schedule: NoiseSchedule, steps: int
) -> Tensor:
    """Deterministic DDIM (eta = 0).

    Args:
        predict: (z_t, t) -> the noise in z_t, both (B, L, D).
        noise_BLD: (B, L, D) standard normal start.
        schedule: of T times.
        steps: number of times to visit.

    Returns:
        (B, L, D) sample of z_0.
    """
    return ddim_walk(predict, noise_BLD, schedule, ddim_times(len(schedule.signal), steps))


def ddim_walk(
    predict: Callable[[Tensor, int], Tensor], z_BLD: Tensor, schedule: NoiseSchedule, times: list[int]
) -> Tensor:
    """DDIM from a latent at the first of `times`, (B, L, D), through all of them to z_0; see `ddim_sample`."""
    for t, earlier in zip(times, [*times[1:], None], strict=True):
        eps_BLD = predict(z_BLD, t)
        z_BLD = (z_BLD - schedule.noise[t] * eps_BLD) / schedule.signal[t]
        if earlier is not None:
            z_BLD = schedule.signal[earlier] * z_BLD + schedule.noise[earlier] * eps_BLD
    return z_BLD


class DiffusionPrior(nn.Module):
    """The U-Net, its exponential moving average (EMA) and the schedule.

    Args:
        d_z: latent width D.
        classes: classes of the condition; `classes` itself is the null class.
        channels: channels of the U-Net's first level.
        timesteps: T.
        cfg_drop: share of the training labels replaced by the null class.
        ema: share of the average that an update keeps.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, d_z: int, classes: int, *, channels: int, timesteps: int, cfg_drop: float, ema: float) -> None:
        super().__init__()
        self.d_z, self.null, self.cfg_drop, self.ema_decay = d_z, classes, cfg_drop, ema
        self.unet = UNet1d(d_z, classes, channels)
        self.ema_unet = copy.deepcopy(self.unet).requires_grad_(False)
        schedule = cosine_schedule(timesteps)
        self.register_buffer("signal", schedule.signal, persistent=False)
        self.register_buffer("noise", schedule.noise, persistent=False)

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule on the module's device."""
        return NoiseSchedule(self.signal, self.noise)

    def loss(
        self,
        z0_BLD: Tensor,
        valid_BL: Tensor,
        condition_B: Tensor | None,
        w_BM: Tensor,
        generator: Source = None,
    ) -> Tensor:
        """|eps - eps_theta(z_t, t, y, w)|^2, eq. 10, averaged over valid steps and dimensions.

        Args:
            z0_BLD: (B, L, D); the caller detaches it where the paper has sg(z).
            valid_BL: (B, L) bool.
            condition_B: (B,) int64, or None for the null class throughout.
            w_BM: (B, 3).
            generator: draws the times, the dropped labels and the noise, in this order.
        """
        batch, device = z0_BLD.shape[0], z0_BLD.device
        t_B = integers(len(self.signal), (batch,), generator, device)
        drop_B = uniform((batch,), generator, device) < self.cfg_drop
        eps_BLD = normal(z0_BLD.shape, generator, device)
        null_B = torch.full((batch,), self.null, device=device)
        label_B = null_B if condition_B is None else torch.where(drop_B, null_B, condition_B)
        zt_BLD = q_sample(z0_BLD, t_B, eps_BLD, self.schedule)
        predicted_BLD = self.unet(zt_BLD.transpose(1, 2), t_B, label_B, w_BM, valid_BL).transpose(1, 2)
        square_BLD = zero_masked((eps_BLD - predicted_BLD).square(), valid_BL)
        return square_BLD.sum() / (valid_BL.sum().clamp(min=1) * self.d_z)

    def denoise(
        self,
        z0_BLD: Tensor,
        w_BM: Tensor,
        valid_BL: Tensor,
        *,
        share: float,
        steps: int,
        noise_BLD: Tensor | None = None,
    ) -> Tensor:
        """Noise a latent to the time `share` T and denoise it by DDIM, with the trained network and the null label.

        Args:
            z0_BLD: (B, L, D).
            w_BM: (B, 3).
            valid_BL: (B, L) bool.
            share: of T.
            steps: times to visit.
            noise_BLD: (B, L, D) standard normal; None for its mean, 0, which makes the result deterministic.

        Returns:
            (B, L, D), zero at padded steps; gradients flow through it.
        """
        times = denoising_times(round(share * len(self.signal)), steps)
        z_BLD = self.signal[times[0]] * z0_BLD
        if noise_BLD is not None:
            z_BLD = z_BLD + self.noise[times[0]] * noise_BLD
        null_B = torch.full((len(z0_BLD),), self.null, device=z0_BLD.device)

        def predict(z_BLD: Tensor, t: int) -> Tensor:
            eps: Tensor = self.unet(z_BLD.transpose(1, 2), torch.full_like(null_B, t), null_B, w_BM, valid_BL)
            return eps.transpose(1, 2)

        return zero_masked(ddim_walk(predict, z_BLD, self.schedule, times), valid_BL)

    @torch.no_grad()
    def update_ema(self) -> None:
        """ema <- decay ema + (1 - decay) theta; buffers are copied."""
        averages: list[Tensor] = list(self.ema_unet.parameters())
        parameters: list[Tensor] = list(self.unet.parameters())
        torch._foreach_mul_(averages, self.ema_decay)
        torch._foreach_add_(averages, parameters, alpha=1 - self.ema_decay)
        for copied, buffer in zip(self.ema_unet.buffers(), self.unet.buffers(), strict=True):
            copied.copy_(buffer)

    @torch.no_grad()
    def sample(
        self,
        condition_B: Tensor,
        w_BM: Tensor,
        valid_BL: Tensor,
        *,
        steps: int,
        scale: float,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Guided DDIM sample of z_0 from the EMA network: (B,), (B, 3), (B, L) -> (B, L, D), zero at padded steps."""
        start_BLD = torch.randn(*valid_BL.shape, self.d_z, generator=generator, device=w_BM.device)
        return self.sample_from(start_BLD, condition_B, w_BM, valid_BL, steps=steps, scale=scale)

    @torch.no_grad()
    def sample_from(
        self, start_BLD: Tensor, condition_B: Tensor, w_BM: Tensor, valid_BL: Tensor, *, steps: int, scale: float
    ) -> Tensor:
        """`sample` from given noise, so that two labels can start from the same: (B, L, D), ... -> (B, L, D)."""
        batch, device = len(condition_B), w_BM.device
        # Both halves of the guidance go through the network as one batch.
        labels = torch.cat([condition_B, torch.full_like(condition_B, self.null)])
        weights, valid = w_BM.repeat(2, 1), valid_BL.repeat(2, 1)

        def predict(z_BLD: Tensor, t: int) -> Tensor:
            times = torch.full((2 * batch,), t, device=device)
            eps = self.ema_unet(z_BLD.transpose(1, 2).repeat(2, 1, 1), times, labels, weights, valid)
            cond_BDL, uncond_BDL = eps.chunk(2)
            return guided(cond_BDL, uncond_BDL, scale).transpose(1, 2)

        return zero_masked(ddim_sample(predict, start_BLD, self.schedule, steps), valid_BL)
