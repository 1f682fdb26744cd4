"""Random numbers of a network, drawn before it runs: each seed from its own streams, in the order it would have drawn.

Several seeds go through one network at once, where no generator can serve them apart. So the calls are recorded once,
and before a step the numbers are drawn seed by seed, as a single run would draw them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from affect_models.data.batch import Batch, Streams
from affect_models.nets.noise import integers, normal, uniform
from mosei_schemas.errors import ConfigError

Function = Literal["randn", "rand", "randint", "dropout"]
_OTHERS: Final = {
    "bernoulli", "bernoulli_", "multinomial", "normal", "normal_", "poisson", "randperm", "rand_like", "randn_like",
    "randint_like", "random_", "uniform_", "exponential_", "geometric_", "cauchy_", "log_normal_", "gumbel_softmax",
    "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "rrelu", "rrelu_",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A call that draws.

    Attributes:
        function: which.
        shape: of what it draws.
        argument: the bound of `randint`; the share that `dropout` keeps.
        stream: `posterior`, `prior`, ..., or `dropout` for the device's own generator.
    """

    function: Function
    shape: tuple[int, ...]
    argument: float
    stream: str

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw; for `dropout` the factors, which are 0 or 1 / share kept."""
        device = generator.device
        if self.function == "randn":
            return normal(self.shape, generator, device)
        if self.function == "rand":
            return uniform(self.shape, generator, device)
        if self.function == "randint":
            return integers(int(self.argument), self.shape, generator, device)
        kept = torch.empty(self.shape, device=device).bernoulli_(self.argument, generator=generator)
        return kept.div_(self.argument)


class Served(TorchFunctionMode):
    """Inside, what draws gets its numbers from `serve` instead.

    Args:
        serve: asked for the numbers of each call.
        names: id of a generator -> name of its stream; what is drawn without one is of the stream `dropout`.

    Raises:
        ConfigError: on a call that draws otherwise.
    """

    def __init__(self, serve: Callable[[Call], Tensor], names: Mapping[int, str]) -> None:
        super().__init__()
        self._serve, self._names = serve, names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `TorchFunctionMode`."""
        kwargs = kwargs or {}
        if func is torch.randn or func is torch.rand:
            shape = tuple(args[0]) if len(args) == 1 and not isinstance(args[0], int) else args
            return self._drawn("randn" if func is torch.randn else "rand", shape, 0, kwargs)
        if func is torch.randint:
            return self._drawn("randint", args[-1], args[0], kwargs)
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if getattr(func, "__name__", "") in _OTHERS:
            raise ConfigError(f"the network draws with {func.__name__}", remedy="train its seeds one by one")
        return func(*args, **kwargs)

    def _drawn(self, function: Function, shape: tuple[int, ...], argument: float, kwargs: Mapping[str, Any]) -> Tensor:
        generator = kwargs.get("generator")
        name = "dropout" if generator is None else self._names[id(generator)]
        return self._serve(Call(function, tuple(shape), argument, name))

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        assert not inplace
        if not training or p == 0:
            return x
        return x * self._serve(Call("dropout", tuple(x.shape), 1 - p, "dropout"))

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
        if dropout_p == 0:
            return F.scaled_dot_product_attention(q, k, v, mask)
        score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if mask is not None:
            score = score.masked_fill(~mask, -torch.inf)
        return self._dropout(score.softmax(-1), dropout_p) @ v


def recorded(network: nn.Module, batch: Batch, streams: Streams, names: Mapping[int, str]) -> list[Call]:
    """What a network draws for a batch of this shape; neither the network nor its streams are moved on.

    Args:
        network: in the mode that is asked for.
        batch: of that shape.
        streams: what it is called with.
        names: see `Served`.

    Raises:
        ConfigError: it draws in a way that cannot be recorded.
    """
    found: list[Call] = []
    scratch = torch.Generator(batch.valid.device).manual_seed(0)

    def record(call: Call) -> Tensor:
        found.append(call)
        return call.draw(scratch)

    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with torch.no_grad(), Served(record, names):
        functional_call(network, buffers, (batch, streams))
    return found
