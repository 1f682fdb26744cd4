"""The modality graph: a regularised gate over three nodes (section IV-C of the paper).

No term of the loss fits its edges to data and a sigmoid never reaches zero, so h(A) > 0 always (about 0.21 with every
edge at 0.5). It weighs modalities; it discovers nothing about what causes what.

Legend: B = batch, M = 3 modalities, D = hidden width. A[i, j] is the edge from i to j.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from affect_models.nets.noise import Source, uniform

GraphKind = Literal["sigmoid", "gumbel", "none"]
_TERMS, _HALVINGS = 12, 3
"""With three nodes, what the series leaves out is under 1e-14."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the graph says of a batch.

    Attributes:
        weight: (B, 3), sums to 1; 0 for an absent modality, uniform where all are absent.
        adjacency: (B, 3, 3) in [0, 1], no diagonal, no edge from or to an absent modality.
    """

    weight: Tensor
    adjacency: Tensor


def acyclicity(adjacency_BMM: Tensor) -> Tensor:
    """h(A) = tr(exp(A o A)) - M, eq. 2: (B, M, M) in [0, 1] -> (B,), zero exactly when A has no cycle.

    By a series of fixed length on exp(A o A / 8), squared three times, in float64: `torch.matrix_exp` asks the device
    for the norm, which ends every overlap of host and device, and in float32 it is 3e-5 off at A = 0.5.
    """
    power_BMM = adjacency_BMM.double().square() / 2**_HALVINGS
    one_MM = torch.eye(adjacency_BMM.shape[-1], dtype=torch.float64, device=adjacency_BMM.device)
    exp_BMM = one_MM + power_BMM / _TERMS
    for k in range(_TERMS - 1, 0, -1):
        exp_BMM = one_MM + power_BMM @ exp_BMM / k
    for _ in range(_HALVINGS):
        exp_BMM = exp_BMM @ exp_BMM
    trace_B: Tensor = exp_BMM.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (trace_B - adjacency_BMM.shape[-1]).float()


def annealed_temperature(epoch: float, start: float, end: float, epochs: float) -> float:
    """start at epoch 0, end after `epochs`, exponentially between and level after (Jang et al. 2017); start for 0."""
    return start if epochs <= 0 else start * (end / start) ** min(1.0, epoch / epochs)


def gate_weights(adjacency_BMM: Tensor, present_BM: Tensor) -> Tensor:
    """w = softmax(A^T 1), eq. 3, over the present modalities: (B, M, M), (B, M) -> (B, M)."""
    nobody_B1 = ~present_BM.any(-1, keepdim=True)
    return adjacency_BMM.sum(-2).masked_fill(~(present_BM | nobody_B1), -torch.inf).softmax(-1)


class ModalityGraph(nn.Module):
    """Edges between the mean states of the modalities, and the weights that they give.

    Args:
        hidden: D.
        kind: `sigmoid` as in eq. 1-3; `gumbel`: noisy sigmoid edges in training and an L1 penalty; `none`: no edges
            and no parameters, present modalities weigh the same.
        temperature: divides the scores of `gumbel`, in training and in eval; a buffer, so that it can be annealed.
    """

    temperature: Tensor | None

    def __init__(self, hidden: int, kind: GraphKind, temperature: float = 1.0) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("temperature", torch.tensor(temperature) if kind == "gumbel" else None)
        self.query = None if kind == "none" else nn.Linear(hidden, hidden, bias=False)
        self.key = None if kind == "none" else nn.Linear(hidden, hidden, bias=False)

    def forward(self, node_BMD: Tensor, present_BM: Tensor, generator: Source = None) -> Gate:
        """(B, M, D), (B, M) -> the gate; `generator` feeds the Gumbel noise."""
        batch, nodes, _ = node_BMD.shape
        if self.query is None or self.key is None:
            adjacency_BMM = node_BMD.new_zeros(batch, nodes, nodes)
        else:
            score_BMM = self.query(node_BMD) @ self.key(node_BMD).transpose(1, 2) / math.sqrt(node_BMD.shape[-1])
            edge_BMM = present_BM[:, :, None] & present_BM[:, None, :]
            edge_BMM = edge_BMM & ~torch.eye(nodes, dtype=torch.bool, device=node_BMD.device)
            adjacency_BMM = self._edges(score_BMM.float(), generator).masked_fill(~edge_BMM, 0.0)
        return Gate(gate_weights(adjacency_BMM, present_BM), adjacency_BMM)

    def penalty(self, adjacency_BMM: Tensor) -> Tensor | None:
        """Mean over the batch of h(A), or of the sum of the edges for `gumbel`; None without a graph."""
        if self.kind == "none":
            return None
        return (acyclicity(adjacency_BMM) if self.kind == "sigmoid" else adjacency_BMM.sum((-2, -1))).mean()

    def _edges(self, score_BMM: Tensor, generator: Source) -> Tensor:
        if self.temperature is None:
            return score_BMM.sigmoid()
        if self.training:
            u_BMM = uniform(score_BMM.shape, generator, score_BMM.device).clamp(1e-6, 1 - 1e-6)
            # The difference of two Gumbel draws is logistic.
            score_BMM = score_BMM + u_BMM.logit()
        return (score_BMM / self.temperature).sigmoid()
