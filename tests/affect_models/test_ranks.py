"""Who a process is, as torchrun and SLURM tell it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from affect_models.training.distributed import Ranks
from affect_models.training.ranks import Place, find_place, first_host
from mosei_schemas.errors import ConfigError

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


def test_alone() -> None:
    assert find_place({}) is None
    assert find_place({**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None
    assert find_place({**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}) is None


def test_the_script_of_a_job_is_no_rank() -> None:
    """sbatch sets the number of tasks and a PROCID for the script, too; only srun starts a step."""
    script = {name: value for name, value in SLURM.items() if "STEP" not in name}
    assert find_place({**script, "SLURM_PROCID": "0"}) is None


def test_torchrun_wins_over_the_slurm_step_that_started_it() -> None:
    assert find_place(SLURM | TORCHRUN) == Place(1, 2, 1)


def test_a_slurm_step() -> None:
    place = find_place(SLURM)
    assert place is not None
    assert (place.rank, place.world, place.local, place.address) == (3, 4, 1, "gpu07")
    assert place.port is not None
    assert 20_000 <= place.port < 40_000
    other = find_place({**SLURM, "SLURM_JOB_ID": "4712"})
    assert other is not None
    assert other.port != place.port, "two jobs on one node meet at different ports"
    named = find_place({**SLURM, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29501"})
    assert named is not None
    assert (named.address, named.port) == ("10.0.0.1", 29501)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("login1", "login1"),
        ("a,b", "a"),
        ("gpu[03-05,07],login1", "gpu03"),
        ("gpu-a[12]", "gpu-a12"),
        ("rack[1-2]node[05,9]", "rack1node05"),
        ("n1.cluster.example,n2", "n1.cluster.example"),
    ],
)
def test_the_first_host(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


@pytest.mark.parametrize("nodes", ["", ",", "[", "a[", "a b"])
def test_no_list_of_nodes(nodes: str) -> None:
    with pytest.raises(ConfigError, match="is no list of nodes; set MASTER_ADDR"):
        first_host(nodes)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({**TORCHRUN, "RANK": "first"}, "RANK: is 'first', not a number; start every rank with torchrun or srun"),
        ({**TORCHRUN, "LOCAL_RANK": ""}, "LOCAL_RANK: is not set"),
        ({k: v for k, v in SLURM.items() if k != "SLURM_LOCALID"}, "SLURM_LOCALID: is not set"),
        ({k: v for k, v in SLURM.items() if k != "SLURM_STEP_NODELIST"}, "set MASTER_ADDR to the node of rank 0"),
    ],
)
def test_a_broken_environment(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_place(environment)


@pytest.mark.parametrize(
    ("devices", "shared"),
    [(["a", "b", "c"], None), (["a", "b", "a"], "ranks 0 and 2"), (["a", "b", "b", "a"], "ranks 0 and 3")],
)
def test_each_rank_has_a_device_of_its_own(
    devices: list[str], shared: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[int] = []

    def listened(_ranks: Ranks, rows: Tensor, counts: list[int]) -> Tensor:
        assert len(counts) == len(devices)
        said.extend(rows.tolist())
        return torch.arange(len(counts))

    monkeypatch.setattr(Ranks, "gathered", listened)
    ranks = [Ranks(rank, len(devices), rank) for rank in range(len(devices))]
    for rank, device in zip(ranks, devices, strict=True):
        rank.check_apart(device)
    monkeypatch.setattr(Ranks, "gathered", lambda *_: torch.tensor(said))
    for rank, device in zip(ranks, devices, strict=True):
        with (
            nullcontext() if shared is None else pytest.raises(ConfigError, match=f"{shared}: are on one device; start")
        ):
            rank.check_apart(device)
