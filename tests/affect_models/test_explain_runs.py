"""`affect explain`: what it writes about a run, the same every time, and what it refuses."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from affect_models.explain.compute import explain_segments
from affect_models.explain.run import explain
from affect_models.training.config import load_config
from affect_models.training.precision import Arithmetic
from affect_models.training.run import run as train
from mosei_cli.affect import app
from mosei_schemas.errors import ConfigError, DatasetError, InputError

SMALL = [
    "net.hidden=16", "net.heads=2", "net.layers=1", "net.ffn=16", "net.d_z=8", "net.fusion_hidden=16",
    "net.unet_channels=8", "net.ddim_steps=3", "train.epochs=1", "train.max_steps=12", "train.device=cpu",
    "evaluation.resamples=5", "evaluation.floors=false",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than all the rest: one test draws them."""
    if "figures" not in request.node.name and find_spec("matplotlib"):
        monkeypatch.setattr("affect_models.explain.figures.draw_figures", lambda *_: None)


@pytest.fixture(scope="module")
def run(shared_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return train(shared_dataset, "speaker-disjoint", load_config(None, SMALL, {"task": "emotion6"}), folder)[0]


@pytest.fixture(scope="module")
def without_prior(shared_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plain"
    config = load_config(None, [*SMALL, "net.diffusion=false"], {"task": "sentiment"})
    return train(shared_dataset, "speaker-disjoint", config, folder)[0]


@pytest.fixture(scope="module")
def whole(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An explanation of test, out of the way of the others."""
    return explain(run, references=3).folder.rename(tmp_path_factory.mktemp("explained") / "test")


def test_a_part_is_explained_with_every_label(run: Path, whole: Path) -> None:
    predictions = pl.read_parquet(run / "predictions-test.parquet")
    modalities, drawn = (pl.read_parquet(whole / f"{name}.parquet") for name in ("modalities", "counterfactuals"))
    assert modalities["segment_id"].unique(maintain_order=True).to_list() == predictions["segment_id"].to_list()
    assert len(modalities) == 3 * len(predictions)
    classes = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
    assert drawn["label"].to_list() == classes * len(predictions)
    said = predictions.select(pl.concat_list([f"score_{c}" for c in classes]).list.arg_max()).to_series()
    assert modalities["predicted"].to_list()[::3] == [classes[k] for k in said]
    weights = modalities.group_by("segment_id").agg(pl.col("weight").sum())["weight"]
    assert weights.to_numpy() == pytest.approx(1, abs=1e-5)
    absent = modalities.filter(~pl.col("present"))
    assert len(absent)
    assert absent.select("removal", "shapley", "replacement").to_numpy().tolist() == [[0.0] * 3] * len(absent)
    own = drawn.filter(pl.col("label") == pl.col("predicted"))
    assert own["shift"].to_list() == [0.0] * len(predictions)
    assert drawn.filter(pl.col("label") != pl.col("predicted"))["shift"].min() > 0
    steps = drawn["step_shift"].list.len()
    assert steps.max() == 12
    for name in ("step_distance", "step_attention", "step_own_attention", "step_video_toward"):
        assert drawn[name].list.len().to_list() == steps.to_list()
    assert drawn["step_attention"].list.sum().to_numpy() == pytest.approx(1, abs=1e-5)
    assert drawn["step_text_toward"].list.sum().to_numpy() == pytest.approx(drawn["text_toward"].to_numpy())


def test_the_summary_counts_what_the_tables_hold(run: Path, whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    modalities = pl.read_parquet(whole / "modalities.parquet")
    drawn = pl.read_parquet(whole / "counterfactuals.parquet")
    assert summary["segments"] == summary["of"] == len(modalities) // 3
    assert sum(entry["segments"] for entry in summary["classes"]) == summary["segments"]
    for entry in summary["classes"]:
        mine = modalities.filter(
            (pl.col("true") == entry["label"]) & pl.col("present") & (pl.col("modality") == "audio")
        )
        if len(mine):
            assert entry["means"]["shapley"]["audio"]["value"] == pytest.approx(mine["shapley"].mean())
    for entry in summary["labels"]:
        mine = drawn.filter(pl.col("label") == entry["label"])
        assert entry["samples"] == len(mine) == sum(entry["classified"].values())
        assert entry["recognised"] == int((mine["sample_predicted"] == entry["label"]).sum())


def test_a_segment_is_explained_alone_as_among_others(run: Path, whole: Path) -> None:
    rows = pl.read_parquet(whole / "modalities.parquet")
    ident = rows["segment_id"][12]
    alone = explain(run, segment=ident, references=3).folder
    assert alone.parent == run / "explain"
    for name in ("modalities", "counterfactuals"):
        among, found = (pl.read_parquet(folder / f"{name}.parquet") for folder in (whole, alone))
        among = among.filter(pl.col("segment_id") == ident)
        for column in found.columns:
            assert _same(found[column].to_list(), among[column].to_list()), column


def _same(one: list[Any], other: list[Any]) -> bool:
    """Equal but for what a longer batch does to the last bits."""
    if isinstance(one[0], str | bool):
        return one == other
    return bool(np.allclose(np.array(one, float), np.array(other, float), atol=1e-4))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(run: Path) -> None:
    def written(seed: int) -> dict[str, bytes]:
        folder = explain(run, part="valid", limit=4, seed=seed, references=2).folder
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    first, again, other = written(1), written(1), written(2)
    assert first == again
    assert first.keys() >= {"modalities.parquet", "counterfactuals.parquet", "summary.json"}
    assert first["counterfactuals.parquet"] != other["counterfactuals.parquet"]


def test_figures_are_drawn_alike_every_time(run: Path) -> None:
    pytest.importorskip("matplotlib")

    def drawn(**options: Any) -> dict[str, bytes]:
        folder = explain(run, references=1, **options).folder
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".png", ".svg"}}

    first = drawn(part="valid", limit=2)
    assert first == drawn(part="valid", limit=2)
    ident = pl.read_parquet(run / "explain" / "valid" / "modalities.parquet")["segment_id"][0]
    single = drawn(segment=ident)
    assert (first.keys(), single.keys()) == ({"classes.png", "classes.svg"}, {"segment.png", "segment.svg"})
    for name, data in (first | single).items():
        assert data.startswith(b"\x89PNG") if name.endswith("png") else b"<svg" in data


def test_a_run_without_a_prior_explains_its_modalities(without_prior: Path) -> None:
    found = explain(without_prior, limit=4)
    assert "no prior" in found.summary.notes[0]
    assert not (found.folder / "counterfactuals.parquet").exists()
    assert found.summary.labels == []
    assert found.summary.segments == 4
    with pytest.raises(ConfigError, match="no prior to draw latents from"):
        explain(without_prior, samples=1)


def test_the_planted_modality_is_looked_up(run: Path, small_corpus: Path, tmp_path: Path) -> None:
    truth = small_corpus / "truth.json"
    planted = explain(run, part="valid", samples=0, references=1, truth=truth).summary.planted
    assert planted is not None
    assert planted.all["shapley"].segments <= planted.segments
    by_id = {row["segment_id"]: row["decided_by"] for row in json.loads(truth.read_bytes())["segments"]}
    rows = pl.read_parquet(run / "explain" / "valid" / "modalities.parquet")
    right = total = 0
    for (ident,), mine in rows.group_by("segment_id"):
        there = mine.filter(pl.col("present"))
        if by_id[ident] in there["modality"].to_list():
            total += 1
            right += there.sort("shapley")["modality"][-1] == by_id[ident]
    assert (planted.all["shapley"].segments, planted.all["shapley"].named) == (total, right)
    (tmp_path / "none.json").write_text('{"segments": [{"segment_id": "x", "decided_by": "text"}]}')
    with pytest.raises(InputError, match="knows none of the segments"):
        explain(run, samples=0, references=0, limit=1, truth=tmp_path / "none.json")
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(InputError, match="is not the truth"):
        explain(run, truth=tmp_path / "none.json")


def test_bad_input_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        explain(tmp_path)
    with pytest.raises(ConfigError, match="no such segment"):
        explain(run, segment="nobody[0]")
    with pytest.raises(ConfigError, match="no such part"):
        explain(run, part="dev")
    with pytest.raises(ConfigError, match="a segment is named, too"):
        explain(run, part="test", segment="x[0]")
    with pytest.raises(DatasetError, match=r"is not here.*--data"):
        explain(run, data=tmp_path)


def test_the_command_prints_the_account(run: Path) -> None:
    done = CliRunner().invoke(app, ["explain", str(run), "--limit", "6", "--references", "2"], env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    assert "6 of" in done.output
    assert "shapley" in done.output
    assert "Latents drawn for a label" in done.output
    assert "Longer than the model's steps" in done.output


def test_the_arithmetic_is_that_of_the_run(run: Path, monkeypatch: pytest.MonkeyPatch, in_force: list[str]) -> None:
    explained: list[tuple[str, ...]] = []

    def watched(*args: Any, **named: Any) -> Any:
        for found in explain_segments(*args, **named):
            explained.append(tuple(in_force))
            yield found

    monkeypatch.setattr("affect_models.explain.run.explain_segments", watched)
    explain(run, limit=2, references=1)
    assert explained == [("fp32",)]


def test_a_run_is_looked_at_again_on_any_device() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    fast = load_config(None, ["train.precision=tf32", "train.compile=cuda-graphs"], {}).train
    assert Arithmetic.of_finished(fast, cpu) == Arithmetic("tf32", cpu, None)
    usual = load_config(None, [], {}).train
    assert [Arithmetic.of_finished(usual, device).precision for device in (cpu, cuda)] == ["fp32", "tf32"]
