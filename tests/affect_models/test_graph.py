"""The modality graph."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_models.nets.graph import ModalityGraph, acyclicity, gate_weights


def taylor_h(adjacency: torch.Tensor) -> float:
    """tr(sum_k (A o A)^k / k!) - M, term by term."""
    square = adjacency.double() ** 2
    term, total = torch.eye(len(square), dtype=torch.float64), 0.0
    for k in range(1, 40):
        total += float(term.diagonal().sum())
        term = term @ square / k
    return total - len(square)


def test_a_two_cycle_by_hand():
    a, b = 0.8, 0.6
    adjacency = torch.zeros(1, 3, 3)
    adjacency[0, 0, 1], adjacency[0, 1, 0] = a, b
    # A o A swaps the two nodes with a^2 and b^2: its eigenvalues are +-ab and 0.
    assert acyclicity(adjacency).item() == pytest.approx(2 * math.cosh(a * b) - 2, abs=1e-6)


def test_no_cycle_costs_nothing():
    assert acyclicity(torch.tensor([[[0, 0.9, 0.4], [0, 0, 1.0], [0, 0, 0]]])).item() == pytest.approx(0, abs=1e-6)


def test_half_everywhere_costs_about_a_fifth():
    half = 0.5 * (1 - torch.eye(3))
    expected = math.exp(0.5) + 2 * math.exp(-0.25) - 3
    assert acyclicity(half[None]).item() == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(0.206, abs=1e-3)


@given(st.lists(st.floats(0, 1, width=32), min_size=9, max_size=9))
@settings(max_examples=50)
def test_h_agrees_with_its_series(values):
    adjacency = torch.tensor(values).view(3, 3)
    h = acyclicity(adjacency[None]).item()
    assert h == pytest.approx(taylor_h(adjacency), rel=1e-6, abs=1e-6)
    assert h == pytest.approx(torch.matrix_exp(adjacency.double() ** 2).trace().item() - 3, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("kind", ["sigmoid", "gumbel", "none"])
@pytest.mark.parametrize("training", [False, True])
def test_absent_modalities(kind, training):
    graph = ModalityGraph(16, kind, temperature=0.5).train(training)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()
    nodes = torch.randn(4, 3, 16).masked_fill(~present[..., None], 0.0).requires_grad_()
    gate = graph(nodes, present, torch.Generator().manual_seed(0))
    torch.testing.assert_close(gate.weight.sum(1), torch.ones(4))
    assert torch.equal(gate.weight[:3] > 0, present[:3])
    assert gate.weight[2, 1] == 1
    torch.testing.assert_close(gate.weight[3], torch.full((3,), 1 / 3))
    edge = present[:, :, None] & present[:, None, :] & ~torch.eye(3).bool()
    assert torch.equal(gate.adjacency > 0, edge if kind != "none" else torch.zeros_like(edge))
    assert gate.adjacency.max() <= 1
    penalty = graph.penalty(gate.adjacency)
    if kind == "none":
        assert penalty is None
        assert list(graph.parameters()) == []
        torch.testing.assert_close(gate.weight[0], torch.full((3,), 1 / 3))
    else:
        (penalty + gate.weight.square().sum()).backward()
        assert nodes.grad.isfinite().all()
        assert all(p.grad.isfinite().all() for p in graph.parameters())


def test_edges_and_weights_by_hand():
    graph = ModalityGraph(8, "sigmoid")
    nodes, present = torch.randn(1, 3, 8), torch.ones(1, 3).bool()
    gate = graph(nodes, present)
    query, key = graph.query.weight.detach(), graph.key.weight.detach()
    columns = []
    for j in range(3):
        total = 0.0
        for i in range(3):
            if i != j:
                score = (query @ nodes[0, i]) @ (key @ nodes[0, j]) / math.sqrt(8)
                edge = 1 / (1 + math.exp(-score))
                assert gate.adjacency[0, i, j].item() == pytest.approx(edge, abs=1e-6)
                total += edge
        columns.append(math.exp(total))
    expected = [c / sum(columns) for c in columns]
    assert gate.weight[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_weights_follow_the_column_sums():
    adjacency = torch.zeros(1, 3, 3)
    adjacency[0, 0, 2] = adjacency[0, 1, 2] = 1.0
    weight = gate_weights(adjacency, torch.ones(1, 3).bool())[0]
    assert (weight[2] / weight[0]).item() == pytest.approx(math.exp(2), rel=1e-5)


def test_gumbel_draws_from_its_stream_in_training_only():
    graph = ModalityGraph(8, "gumbel", temperature=0.3)
    nodes, present = torch.randn(2, 3, 8), torch.ones(2, 3).bool()

    def edges(seed):
        return graph(nodes, present, torch.Generator().manual_seed(seed)).adjacency

    state = torch.random.get_rng_state()
    assert torch.equal(edges(1), edges(1))
    assert not torch.equal(edges(1), edges(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    graph.eval()
    assert torch.equal(edges(1), edges(2))
    score = graph.query(nodes) @ graph.key(nodes).transpose(1, 2) / math.sqrt(8)
    off_diagonal = ~torch.eye(3).bool()
    torch.testing.assert_close(edges(1)[:, off_diagonal], (score / 0.3).sigmoid()[:, off_diagonal])
    torch.testing.assert_close(graph.penalty(edges(1)), edges(1).sum() / 2)


def test_only_gumbel_edges_have_a_temperature():
    state = ModalityGraph(8, "gumbel", temperature=0.3).state_dict()
    assert state["temperature"].item() == pytest.approx(0.3)
    assert not any("temperature" in ModalityGraph(8, kind).state_dict() for kind in ("sigmoid", "none"))
