"""Several seeds of one configuration in one network: every weight has a leading axis, one row a seed.

Legend: S = seeds, B = batch, L = steps, C = classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from affect_models.data.batch import Batch
from affect_models.data.device import BatchSource
from affect_models.training.augment import augment
from affect_models.training.batches import Emphasis
from affect_models.training.config import RunConfig
from affect_models.training.draws import Call, Served, recorded
from affect_models.training.losses import task_loss, total_loss
from affect_models.training.pieces import check_divisible
from affect_models.training.state import TrainingState
from affect_models.training.step import begin_epoch
from mosei_schemas.labels import Kind
from mosei_schemas.names import MODALITIES


@dataclass(frozen=True, slots=True)
class Stack:
    """Trainings side by side. Each state's weights, averages and moments are rows of what is trained here.

    Attributes:
        states: one a seed, all as far as each other.
        together: the network with stacked weights; it cannot be called.
        single: the network that is called with one row of them.
        optimizer: of the stacked weights.
        calls: number of segments of a batch -> what the network draws for it.
    """

    states: Sequence[TrainingState]
    together: nn.Module
    single: nn.Module
    optimizer: torch.optim.Optimizer
    calls: dict[int, list[Call]]

    @classmethod
    def of(cls, states: Sequence[TrainingState]) -> Stack:
        """Stack the weights and the optimisers' moments of trainings; their states become views of the stack.

        Raises:
            ConfigError: a part of the network follows batches as a whole, e.g. running means.
        """
        networks = [state.network for state in states]
        together, single = copy.deepcopy(networks[0]), copy.deepcopy(networks[0]).train()
        names = [name for name, _ in together.named_parameters()]
        check_divisible(single, "train its seeds one by one")
        for name in names:
            rows = [network.get_parameter(name) for network in networks]
            stacked = nn.Parameter(torch.stack([row.detach() for row in rows]), rows[0].requires_grad)
            module, _, leaf = name.rpartition(".")
            together.get_submodule(module)._parameters[leaf] = stacked
            for number, row in enumerate(rows):
                row.data = stacked.detach()[number]
        known = states[0].optimizer.defaults
        optimizer = torch.optim.AdamW(
            [p for p in together.parameters() if p.requires_grad],
            known["lr"],
            weight_decay=known["weight_decay"],
            fused=known["fused"],
        )
        stack = cls(states, together, single, optimizer, {})
        stack._stack_moments()
        return stack

    def begin_epoch(self, epoch: int) -> None:
        """Tell the networks that an epoch begins, counted from 0, where they want to know."""
        for network in (self.single, *(state.network for state in self.states)):
            begin_epoch(network, epoch)

    def _stack_moments(self) -> None:
        for number, stacked in enumerate(self.optimizer.param_groups[0]["params"]):
            rows = [state.optimizer.param_groups[0]["params"][number] for state in self.states]
            known = [state.optimizer.state[row] for state, row in zip(self.states, rows, strict=True)]
            moments = {
                name: torch.stack([k.get(name, torch.zeros_like(stacked[0])) for k in known]).detach()
                for name in ("exp_avg", "exp_avg_sq")
            }
            device = stacked.device if self.optimizer.defaults["fused"] else "cpu"
            step = known[0].get("step", torch.zeros((), device=device)).clone()
            self.optimizer.state[stacked] = {"step": step, **moments}
            for place, (state, row) in enumerate(zip(self.states, rows, strict=True)):
                views = {name: moment[place] for name, moment in moments.items()}
                state.optimizer.state[row] = {"step": step, **views}

    def step(
        self,
        chosen: Sequence[Tensor],
        data: BatchSource,
        config: RunConfig,
        kind: Kind,
        emphasis: Emphasis,
        epoch: int,
        lr: float,
    ) -> dict[str, Tensor]:
        """Take a step of every seed.

        Args:
            chosen: for each seed (B,) numbers of segments.
            data: the part that is trained on.
            config, kind, emphasis: see `Stepper`; they are the same for all seeds.
            epoch, lr: the running epoch, counted from 0, and the learning rate.

        Returns:
            The mean of every loss over the step, (S,).
        """
        batch = self._batch(chosen, data, config)
        calls = self._calls(batch)
        generators = [state.generators() for state in self.states]
        draws = [torch.stack([call.draw(named[call.stream]) for named in generators]) for call in calls]
        weights: dict[str, Tensor] = {n: p for n, p in self.together.named_parameters() if p.requires_grad}
        arithmetic = self.states[0].arithmetic

        def losses_of(weights: dict[str, Tensor], tensors: list[Tensor], draws: list[Tensor]) -> dict[str, Tensor]:
            one = _unpacked(tensors)
            served = iter(draws)
            with Served(lambda _call: next(served), self._names()):
                output = functional_call(self.single, weights, (one, self.states[0].streams))
            assert one.targets is not None
            task = task_loss(output.prediction, one.targets, kind, config.loss, emphasis.weight_C, emphasis.shift_C)
            loss, parts = total_loss(task, output.aux_losses, epoch, config.loss)
            return {**parts, "total": loss}

        self.optimizer.zero_grad(set_to_none=True)
        with arithmetic.forward():
            losses = vmap(losses_of)(weights, _packed(batch), draws)
        arithmetic.backward(losses["total"].sum())
        clip_each(self.together, config)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.together.update_ema()  # type: ignore[operator]
        return {name: loss.detach() for name, loss in losses.items()}

    def _batch(self, chosen: Sequence[Tensor], data: BatchSource, config: RunConfig) -> Batch:
        """(S, B, ...), gathered at once and augmented seed by seed."""
        parts = _packed(data.batch(torch.cat(list(chosen))))
        size = len(chosen[0])
        rows = [
            _packed(augment(_unpacked([part[k * size :][:size] for part in parts]), state.streams, config.augment))
            for k, state in enumerate(self.states)
        ]
        return _unpacked([torch.stack(part) for part in zip(*rows, strict=True)])

    def _calls(self, batch: Batch) -> list[Call]:
        """What the network draws for a batch of this size, recorded when the first one comes."""
        size = batch.valid.shape[1]
        if size not in self.calls:
            one = _unpacked([part[0] for part in _packed(batch)])
            self.calls[size] = recorded(self.single, one, self.states[0].streams, self._names())
        return self.calls[size]

    def _names(self) -> dict[int, str]:
        return {id(generator): name for name, generator in self.states[0].generators().items()}


def clip_each(stacked: nn.Module, config: RunConfig) -> None:
    """`clip`, seed by seed."""
    groups: list[list[nn.Parameter]] = [stacked.classifier_parameters(), stacked.prior_parameters()]  # type: ignore[operator]
    if config.train.clip == "joint":
        groups = [groups[0] + groups[1]]
    for parameters in groups:
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
            factor_S = (config.train.clip_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factor_S.view(-1, *(1,) * (gradient.dim() - 1)))


_FIELDS = [field.name for field in fields(Batch) if field.name != "frame_mask"]


def _packed(batch: Batch) -> list[Tensor]:
    """The tensors of a batch, as functions of torch.func take them."""
    return [*(getattr(batch, name) for name in _FIELDS), *(batch.frame_mask[name] for name in MODALITIES)]


def _unpacked(tensors: Sequence[Tensor]) -> Batch:
    named, masks = tensors[: len(_FIELDS)], tensors[len(_FIELDS) :]
    return Batch(**dict(zip(_FIELDS, named, strict=True)), frame_mask=dict(zip(MODALITIES, masks, strict=True)))
