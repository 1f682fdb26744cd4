"""Affect-Diff: encoders, gate, fusion, variational bottleneck, attention-pooled head and a diffusion prior.

Legend: B = batch, M = 3 modalities, L = steps, H = hidden width, D = latent width d_z, C = outputs.
With `stop_gradient`, and `classify = "latent"`, the prior cannot change what the classifier learns: the loss of eq. 10
has no gradient in it, and predictions use mu. It serves sampling (`sample_latent`) only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from affect_models.data.batch import Batch, Output, Streams
from affect_models.nets.bottleneck import AdaptiveFreeBits, free_bits_kl, gaussian_kl
from affect_models.nets.diffusion import DiffusionPrior
from affect_models.nets.encoders import Encoders, observed_steps
from affect_models.nets.graph import GraphKind, ModalityGraph, annealed_temperature
from affect_models.nets.head import AttentionHead, HeadKind
from affect_models.nets.layers import GROUPS, masked_mean, zero_masked
from affect_models.nets.noise import DrawnStreams, Source, normal
from mosei_schemas.manifest import Strict
from mosei_schemas.names import MODALITIES

Kind = Literal["multiclass", "multilabel", "regression"]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class AffectDiffConfig(Strict):
    """The architecture; the defaults are the paper's."""

    hidden: Positive = 128
    """Width H of the encoders and the head; a multiple of 8 and of `heads`."""
    heads: Positive = 4
    """Attention heads of an encoder."""
    layers: Positive = 2
    """Transformer layers of an encoder."""
    ffn: Positive = 512
    """Inner width of a Transformer layer."""
    dropout: Share = 0.1
    """Dropout of the encoders; the paper names none."""
    fusion_hidden: Positive = 192
    """Inner width of the fusion; 192 fits the parameter count of the paper."""
    graph: GraphKind = "sigmoid"
    """The gate over the modalities: the paper's, its Gumbel variant, or none."""
    gumbel_temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the `gumbel` edges, at the start where it is annealed."""
    gumbel_temperature_end: Annotated[float, Field(gt=0)] = 0.5
    """Temperature that annealing ends at."""
    gumbel_anneal_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs over which the temperature goes from start to end, exponentially (Jang et al. 2017); 0: it stays."""
    vae: bool = True
    """Sample the latent in training and charge its KL; without it z = mu."""
    d_z: Positive = 128
    """Width of the latent at a step."""
    logvar_min: float = -10.0
    """Lower clamp of log sigma^2."""
    logvar_max: float = 5.0
    """Upper clamp of log sigma^2."""
    free_bits: Annotated[float, Field(ge=0)] = 0.25
    """KL of a dimension that costs nothing, nats (Kingma et al. 2016)."""
    free_bits_rule: Literal["fixed", "adaptive"] = "fixed"
    """`fixed`: a dimension is charged for what exceeds its free bits. `adaptive`: the KL of all dimensions together is
    charged, times a factor in [0.001, 1] that falls by 1.1 after a batch whose KL is below d_z times `free_bits` and
    rises by 1.1 after one above 1.05 times that (after Chen et al. 2017, soft free bits)."""
    beta: Annotated[float, Field(ge=0)] = 0.1
    """Factor of the KL (eq. 7)."""
    head: HeadKind = "mlp"
    """What classifies the pooled latent: two layers as in the paper, or one Linear as on the page."""
    head_dropout: Share = 0.3
    """Dropout of the `mlp` head."""
    classify: Literal["latent", "denoised"] = "latent"
    """What the head sees: z, or z noised to the time `denoise_from` and denoised by the prior without a label. At
    evaluation the added noise is its mean, 0."""
    denoise_from: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of T at which denoising starts."""
    denoise_steps: Positive = 5
    """Times that denoising visits."""
    diffusion: bool = True
    """Train the prior."""
    stop_gradient: bool = True
    """Keep the prior's gradient out of the encoders (sg(z))."""
    unet_channels: Annotated[int, Field(ge=8, multiple_of=8)] = 128
    """Channels of the U-Net's first level."""
    timesteps: Positive = 1000
    """Diffusion times T."""
    cfg_drop: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the training labels hidden from the prior."""
    cfg_scale: float = 3.0
    """Scale of the classifier-free guidance."""
    ddim_steps: Positive = 50
    """Times that sampling visits."""
    ema: Annotated[float, Field(ge=0, le=1)] = 0.999
    """Share of the averaged U-Net that an update keeps."""

    @model_validator(mode="after")
    def _consistent(self) -> AffectDiffConfig:
        if self.hidden % self.heads or self.hidden % GROUPS:
            raise ValueError(f"hidden must be a multiple of heads and of {GROUPS}")
        if self.logvar_min >= self.logvar_max:
            raise ValueError("logvar_min must be less than logvar_max")
        if self.ddim_steps > self.timesteps:
            raise ValueError("ddim_steps must not exceed timesteps")
        if self.classify == "denoised" and not self.diffusion:
            raise ValueError("classify = denoised needs diffusion = true: it is the prior that denoises")
        if self.classify == "denoised" and self.denoise_steps > self.denoise_from * self.timesteps:
            raise ValueError("denoise_steps must not exceed denoise_from times timesteps")
        return self


class AffectDiff(nn.Module):
    """The whole network.

    Args:
        config: the architecture.
        dims: width of `text`, `audio` and `video`; 0 for a modality that the dataset does not have.
        outputs: C; 1 for a regression.
        kind: what the targets are; a regression's output is squeezed to (B,).
        condition_classes: classes of `Batch.condition`, without the null class.
    """

    def __init__(
        self, config: AffectDiffConfig, dims: Mapping[str, int], outputs: int, kind: Kind, condition_classes: int
    ) -> None:
        super().__init__()
        self.config, self.kind = config, kind
        self.dims = {modality: dims[modality] for modality in MODALITIES}
        h, d_z, fusion = config.hidden, config.d_z, config.fusion_hidden
        self.encoders = Encoders(
            self.dims, hidden=h, heads=config.heads, layers=config.layers, ffn=config.ffn, dropout=config.dropout
        )
        self.fusion = nn.Sequential(nn.Linear(3 * h, fusion), nn.LayerNorm(fusion), nn.GELU(), nn.Linear(fusion, h))
        self.to_mu = nn.Linear(h, d_z)
        n_outputs = 1 if kind == "regression" else outputs
        self.head = AttentionHead(d_z, h, n_outputs, config.head_dropout, config.head)
        # The parts that a configuration can switch off come last, so that what is left starts from the same weights.
        self.graph = ModalityGraph(h, config.graph, config.gumbel_temperature)
        self.to_logvar = nn.Linear(h, d_z) if config.vae else None
        adaptive = config.vae and config.free_bits_rule == "adaptive"
        self.free_bits = AdaptiveFreeBits(d_z * config.free_bits) if adaptive else None
        self.prior = (
            DiffusionPrior(
                d_z,
                condition_classes,
                channels=config.unet_channels,
                timesteps=config.timesteps,
                cfg_drop=config.cfg_drop,
                ema=config.ema,
            )
            if config.diffusion
            else None
        )

    def forward(self, batch: Batch, streams: Streams | DrawnStreams | None = None) -> Output:
        """Predictions; in training mode also the losses `kl` (times beta), `diffusion` and `graph` that exist.

        Args:
            batch: B segments; in eval mode its targets and condition are not read.
            streams: where the posterior (with Gumbel and denoising) and the prior draw from; the global generator
                without them.
        """
        posterior = streams.posterior if streams else None
        mask_BML = observed_steps(batch, self.dims)
        h_BMLH = self.encoders(batch, mask_BML)
        gate = self.graph(masked_mean(h_BMLH, mask_BML), mask_BML.any(-1), posterior)
        gated_BLMH = (h_BMLH * gate.weight[:, :, None, None]).transpose(1, 2)
        fused_BLH = self.fusion(gated_BLMH.flatten(2))  # eq. 4
        z_BLD, kl_BLD = self._latent(fused_BLH, batch.valid, posterior)
        seen_BLD = self._seen(z_BLD, batch.valid, gate.weight, posterior)
        logits_BC, step_BL = self.head(seen_BLD, batch.valid)
        losses: dict[str, Tensor | None] = {}
        if self.training:
            losses["graph"] = self.graph.penalty(gate.adjacency)
            if kl_BLD is not None:
                losses["kl"] = self.config.beta * self._charged(kl_BLD, batch.valid)
            if self.prior is not None:
                z0_BLD = z_BLD.detach() if self.config.stop_gradient else z_BLD
                generator = streams.prior if streams else None
                losses["diffusion"] = self.prior.loss(z0_BLD, batch.valid, batch.condition, gate.weight, generator)
        diagnostics = {"modality_weight": gate.weight, "adjacency": gate.adjacency, "step_weight": step_BL}
        if not self.training:
            diagnostics["latent"] = (step_BL[:, None] @ seen_BLD)[:, 0]
        return Output(
            logits_BC[:, 0] if self.kind == "regression" else logits_BC,
            {name: loss for name, loss in losses.items() if loss is not None},
            {name: tensor.detach() for name, tensor in diagnostics.items()},
        )

    def sample_latent(
        self, condition: Tensor, w: Tensor, valid: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents that the prior draws for given labels and weights: (B,), (B, 3), (B, L) -> (B, L, D)."""
        if self.prior is None:
            raise ValueError("the model was built with diffusion = false and has no prior to sample from")
        steps, scale = self.config.ddim_steps, self.config.cfg_scale
        return self.prior.sample(condition, w, valid, steps=steps, scale=scale, generator=generator)

    def prior_parameters(self) -> list[nn.Parameter]:
        """The trained parameters of the prior."""
        return [] if self.prior is None else list(self.prior.unet.parameters())

    def classifier_parameters(self) -> list[nn.Parameter]:
        """Every other trained parameter."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("prior.")]

    def begin_epoch(self, epoch: int) -> None:
        """To be called before each epoch of training, counted from 0: sets the temperature of the `gumbel` edges.

        The temperature is part of the state, so that a checkpoint predicts as it did in its epoch.
        """
        config = self.config
        if self.graph.temperature is not None:
            start, end, epochs = config.gumbel_temperature, config.gumbel_temperature_end, config.gumbel_anneal_epochs
            self.graph.temperature.fill_(annealed_temperature(epoch, start, end, epochs))

    def scheduled(self) -> dict[str, float]:
        """What training has changed beside the weights: `gumbel_temperature` and `kl_factor`, those that exist."""
        temperature, free_bits = self.graph.temperature, self.free_bits
        found = {
            "gumbel_temperature": temperature,
            "kl_factor": None if free_bits is None else free_bits.factor,
        }
        return {name: float(value) for name, value in found.items() if value is not None}

    def update_ema(self) -> None:
        """To be called after each step of the optimiser; nothing happens without a prior."""
        if self.prior is not None:
            self.prior.update_ema()

    def parameter_counts(self) -> dict[str, int]:
        """`classifier`, `trainable` (with the U-Net) and `total` (with its EMA copy)."""
        classifier = sum(p.numel() for p in self.classifier_parameters())
        prior = sum(p.numel() for p in self.prior_parameters())
        return {"classifier": classifier, "trainable": classifier + prior, "total": classifier + 2 * prior}

    def _latent(self, fused_BLH: Tensor, valid_BL: Tensor, generator: Source) -> tuple[Tensor, Tensor | None]:
        """Eq. 5 and 6: z (B, L, D), zero at padded steps, and in training the KL of each dimension."""
        mu_BLD = self.to_mu(fused_BLH)
        if self.to_logvar is None or not self.training:
            return zero_masked(mu_BLD, valid_BL), None
        logvar_BLD = self.to_logvar(fused_BLH).clamp(self.config.logvar_min, self.config.logvar_max)
        eps_BLD = normal(mu_BLD.shape, generator, mu_BLD.device)
        z_BLD = mu_BLD + eps_BLD * (0.5 * logvar_BLD).exp()
        return zero_masked(z_BLD, valid_BL), gaussian_kl(mu_BLD, logvar_BLD)

    def _seen(self, z_BLD: Tensor, valid_BL: Tensor, w_BM: Tensor, generator: Source) -> Tensor:
        """What the head sees of the latent, (B, L, D)."""
        if self.prior is None or self.config.classify == "latent":
            return z_BLD
        noise_BLD = normal(z_BLD.shape, generator, z_BLD.device) if self.training else None
        share, steps = self.config.denoise_from, self.config.denoise_steps
        return self.prior.denoise(z_BLD, w_BM, valid_BL, share=share, steps=steps, noise_BLD=noise_BLD)

    def _charged(self, kl_BLD: Tensor, valid_BL: Tensor) -> Tensor:
        """The KL that is charged: (B, L, D), (B, L) -> a scalar."""
        if self.free_bits is not None:
            charge: Tensor = self.free_bits(kl_BLD, valid_BL)
            return charge
        return free_bits_kl(kl_BLD, valid_BL, self.config.free_bits)
