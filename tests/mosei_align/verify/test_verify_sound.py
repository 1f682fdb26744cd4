"""Sound datasets pass: every policy, format and kind of steps; and `verify` reads only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.split import split
from mosei_align.verify import Check, to_json, verify
from mosei_schemas.errors import DatasetError


@pytest.mark.parametrize(
    ("corpus", "options"),
    [
        ("defective", {"policy": "strict"}),
        ("defective", {"policy": "masked"}),
        ("defective", {"policy": "masked", "file_format": "arrow"}),
        ("defective", {"policy": "strict", "steps": "uniform:0.5"}),
        ("defective", {"policy": "masked", "steps": "frames:video"}),
        ("defective", {"policy": "strict", "steps": "frames:audio", "file_format": "arrow"}),
        ("defective", {"policy": "masked", "min_coverage": "50%", "nonfinite": "zero"}),
        ("defective", {"policy": "strict", "min_coverage": "3", "nonfinite": "column"}),
        ("defective", {"policy": "paper"}),
        ("text", {"policy": "masked"}),
        ("clean", {"policy": "mmsdk"}),
        ("clean", {"policy": "mmsdk", "file_format": "arrow"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()).replace(":", "-"),
)
def test_a_sound_dataset_passes(sources: dict[str, Path], tmp_path: Path, corpus: str, options: Any) -> None:
    folder = tmp_path / "parquet"
    build(sources[corpus], folder, build_settings(**options), jobs=1)
    split(folder, "speaker-disjoint", ratios=(0.5, 0.25, 0.25))
    split(folder, "stratified", ratios=(0.8, 0.2, 0))
    split(folder, "folds", folds=sources[corpus] / "folds.json")
    result = verify(folder)
    assert not result.findings
    assert result.holds
    idle = {check.check for check in result.checks if check.status == "not applicable"}
    assert idle == {Check.WRITTEN, Check.LABELS if options["policy"] == "mmsdk" else Check.LOSSES}


@pytest.mark.parametrize("name", ["masked", "strict", "masked arrow", "mmsdk", "imported"])
def test_the_datasets_that_are_damaged_elsewhere_are_sound(sound: Callable[[str], Path], name: str) -> None:
    assert verify(sound(name)).findings == ()


def test_mmsdk_on_the_golden_input(golden_input: Path, tmp_path: Path) -> None:
    build(golden_input, tmp_path / "parquet", build_settings(policy="mmsdk"), jobs=1)
    assert verify(tmp_path / "parquet").findings == ()


def test_mmsdk_keeps_a_segment_without_end(golden_input: Path, tmp_path: Path) -> None:
    whole = build(golden_input, tmp_path / "whole", build_settings(policy="mmsdk"), jobs=1)
    kept = pq.read_table(tmp_path / "whole" / whole.manifest.shards[0].name, columns=["video_id", "label_row"])
    video, row = kept["video_id"][0].as_py(), kept["label_row"][0].as_py()
    shutil.copytree(golden_input, tmp_path / "csd")
    with h5py.File(tmp_path / "csd" / "labels.csd", "r+") as file:
        (root,) = file
        file[root]["data"][video]["intervals"][row, 1] = np.inf
    build(tmp_path / "csd", tmp_path / "parquet", build_settings(policy="mmsdk"), jobs=1)
    ends = pq.read_table(tmp_path / "parquet" / "segments", columns=["end_s"])["end_s"].to_numpy()
    assert np.isinf(ends).sum() == 1
    assert verify(tmp_path / "parquet").findings == ()


def test_nothing_kept_and_nothing_split(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((5, 6))}, audio={"v": csd.rows(2, 2)})
    build(folder, tmp_path / "out", build_settings(policy="masked"), jobs=1)
    assert verify(tmp_path / "out").holds


def test_build_json_and_splits_may_be_absent_and_hidden_files_are_ignored(dataset: Path) -> None:
    (dataset / "build.json").unlink()
    (dataset / ".parquet.host.1.part").mkdir()
    (dataset / ".parquet.host.1.part" / "half").touch()
    result = verify(dataset)
    assert result.holds
    assert {c.check for c in result.checks if c.status == "not applicable"} == {
        Check.BUILD,
        Check.LOSSES,
        Check.WRITTEN,
    }


def test_it_reads_only_and_says_how_far_it_is(dataset: Path, snapshot: Callable[[Path], dict[str, bytes]]) -> None:
    before, told = snapshot(dataset), list[tuple[int, int]]()
    result = verify(dataset, progress=lambda done, total: told.append((done, total)))
    assert snapshot(dataset) == before
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert json.loads(to_json(result))["holds"] is True


def test_no_dataset_is_an_error_of_one_line(tmp_path: Path, dataset: Path, one_line: Callable[..., str]) -> None:
    assert "no such dataset folder" in one_line(lambda: verify(tmp_path / "nothing"), DatasetError)
    assert "it has no manifest.json" in one_line(lambda: verify(tmp_path), DatasetError)
    (tmp_path / "manifest.json").write_text('{"name": "an app"}')
    assert "not the manifest" in one_line(lambda: verify(tmp_path), DatasetError)
    assert "no such split" in one_line(lambda: verify(dataset, splits=["gone"]), DatasetError)


def test_only_the_chosen_splits_are_checked(dataset: Path) -> None:
    (dataset / "splits" / "random" / "normalization.json").write_text("{")
    assert verify(dataset, splits=["speaker-disjoint"]).holds
    assert [f.file for f in verify(dataset).findings] == ["splits/random/normalization.json"]
    assert not verify(dataset, splits=["random", "random"]).holds
