"""Scores of a trained network for a whole part.

Legend: N = segments, C = classes, D = width of the latent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from affect_models.data.device import BatchSource
from affect_models.training.distributed import ALONE, Ranks
from mosei_schemas.labels import Kind

BATCH = 256


@torch.inference_mode()
def predict(
    network: nn.Module, data: BatchSource, kind: Kind, ranks: Ranks = ALONE, *, latent: bool = False
) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """Predict every segment, in order; targets are not shown to the network.

    Several ranks share the batches out, the same ones as one rank would make, and each gets all scores: none is
    missing, none there twice.

    Returns:
        Scores as `evaluate` takes them (probabilities (N, C), or the score (N,)); the mean modality weights and, where
        they are asked for, the latents (N, D) float32, each None for a network without.
    """
    was_training = network.training
    network.eval()
    shares = torch.split(torch.arange(len(data)), BATCH)
    of_ranks = [shares[first :: ranks.world] for first in range(ranks.world)]
    scores: list[Tensor] = []
    weights: list[Tensor] = []
    latents: list[Tensor] = []
    mine = of_ranks[ranks.rank] or (torch.arange(1),)  # without a share: to learn the shape of the scores
    for chosen, placed in zip(mine, data.placed(mine), strict=True):
        length = int(data.lengths[chosen].max())
        output = network(data.batch(placed, length).without_targets())
        scores.append(_probabilities(output.prediction.float(), kind))
        if "modality_weight" in output.diagnostics:
            weights.append(output.diagnostics["modality_weight"])
        if latent and "latent" in output.diagnostics:
            latents.append(output.diagnostics["latent"].float())
    network.train(was_training)
    order = torch.cat([torch.cat(share) for share in of_ranks if share]).argsort()
    counts = [sum(map(len, share)) for share in of_ranks]

    def whole(rows: list[Tensor]) -> Tensor:
        return ranks.gathered(torch.cat(rows)[: counts[ranks.rank]], counts)[order]

    mean_weight = whole(weights).mean(dim=0).tolist() if weights else None
    found = {"modality_weight": mean_weight, "latent": whole(latents).numpy() if latents else None}
    return whole(scores).numpy().astype(np.float64), found


def _probabilities(prediction: Tensor, kind: Kind) -> Tensor:
    if kind == "multiclass":
        return prediction.double().softmax(dim=-1)
    return prediction.double().sigmoid() if kind == "multilabel" else prediction.double()
