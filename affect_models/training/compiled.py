"""A network whose training steps go through `torch.compile`, as one graph: what it draws is drawn before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from affect_models.data.batch import Batch, Output, Streams
from affect_models.nets.noise import Drawn, DrawnStreams
from affect_models.training.config import TrainConfig
from affect_models.training.draws import Call, recorded


class Compiled:
    """What training steps call in place of the network; it shares the network's weights.

    The network draws the numbers that it would draw by itself, but for dropout, which the compiler draws.

    Args:
        network: in training mode when it is called.
        mode: of `torch.compile`.
    """

    def __init__(self, network: nn.Module, mode: str) -> None:
        def run(batch: Batch, posterior: list[Tensor], prior: list[Tensor]) -> Output:
            output: Output = network(batch, DrawnStreams(Drawn(posterior), Drawn(prior)))
            return output

        self._network = network
        self._run: Callable[..., Output] = torch.compile(run, mode=mode, dynamic=False)
        self._calls: dict[tuple[int, ...], Sequence[Call]] = {}

    def __call__(self, batch: Batch, streams: Streams) -> Output:
        """See the network."""
        shape = tuple(batch.valid.shape)
        if shape not in self._calls:
            names = {id(streams.posterior): "posterior", id(streams.prior): "prior"}
            self._calls[shape] = recorded(self._network, batch, streams, names)
        calls = self._calls[shape]
        posterior = [call.draw(streams.posterior) for call in calls if call.stream == "posterior"]
        prior = [call.draw(streams.prior) for call in calls if call.stream == "prior"]
        return self._run(batch, posterior, prior)


def compiled(network: nn.Module, config: TrainConfig) -> Callable[..., Any]:
    """The network, or what it is compiled to where the configuration says so."""
    if config.compile == "off":
        return network
    return Compiled(network, "reduce-overhead" if config.compile == "cuda-graphs" else "default")
