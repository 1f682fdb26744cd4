"""Means and standard deviations of train, in one pass, from nothing but its valid steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.build import build
from mosei_align.splits.normalise import Moments, fit
from mosei_schemas.errors import DatasetError
from mosei_schemas.manifest import BuildSettings


@settings(max_examples=100)
@given(
    rows=st.integers(1, 60),
    width=st.integers(1, 5),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    seed=st.integers(0, 10**6),
    offset=st.sampled_from([0.0, 3.0, -1e4, 1e6]),
    scale=st.sampled_from([1.0, 1e-2, 1e3]),
)
def test_moments_are_numpys_however_the_rows_are_cut(
    rows: int, width: int, cuts: list[int], seed: int, offset: float, scale: float
) -> None:
    data = (offset + scale * np.random.default_rng(seed).normal(size=(rows, width))).astype(np.float32)
    moments = Moments.empty(width)
    for block in np.split(data, sorted(min(cut, rows) for cut in cuts)):
        moments.add(block)
    exact = data.astype(np.float64)
    assert moments.count == rows
    assert moments.mean == pytest.approx(exact.mean(axis=0), rel=1e-9, abs=1e-9)
    assert moments.squares == pytest.approx(exact.var(axis=0) * rows, rel=1e-9, abs=1e-9 * max(1.0, offset**2) * 1e-3)


def test_the_scaling_is_the_population_z_score() -> None:
    data = np.random.default_rng(0).normal(5, 2, size=(500, 3)).astype(np.float32)
    moments = Moments.empty(3)
    moments.add(data)
    scaling = moments.scaling()
    assert scaling.steps == 500
    assert scaling.mean == pytest.approx(data.astype(float).mean(axis=0).tolist(), rel=1e-12)
    assert scaling.std == pytest.approx(data.astype(float).std(axis=0).tolist(), rel=1e-12)
    assert scaling.constant_columns == []


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, 1e6, -3e-7, 1e-30])
def test_constant_columns_have_std_one_and_are_listed(constant: float) -> None:
    rng = np.random.default_rng(1)
    moments = Moments.empty(3)
    for count in (7, 1, 30, 1003, 77):
        block = rng.normal(size=(count, 3)).astype(np.float32)
        block[:, 1] = constant
        moments.add(block)
    scaling = moments.scaling()
    assert scaling.constant_columns == [1]
    assert scaling.std[1] == 1.0
    assert scaling.mean[1] == pytest.approx(float(np.float32(constant)), rel=1e-12)


def test_rounding_noise_around_a_constant_is_no_variation() -> None:
    noisy = np.full((100, 1), 1000, np.float32)
    noisy[::2] = np.nextafter(np.float32(1000), np.float32(np.inf))
    moments = Moments.empty(1)
    moments.add(noisy)
    assert moments.squares[0] > 0
    assert (moments.scaling().constant_columns, moments.scaling().std) == ([0], [1.0])


def test_a_small_column_that_varies_is_not_constant() -> None:
    moments = Moments.empty(1)
    moments.add(np.array([[1e-20], [3e-20]], np.float32))
    assert moments.scaling().constant_columns == []


def test_no_rows_scale_nothing() -> None:
    moments = Moments.empty(2)
    moments.add(np.empty((0, 2), np.float32))
    scaling = moments.scaling()
    assert (scaling.steps, scaling.mean, scaling.std, scaling.constant_columns) == (0, [0, 0], [1, 1], [])


def dataset(csd: Any, folder: Path, change: dict[str, float] | None = None) -> Any:
    """Four videos of four steps; audio has an invalid step in each. `change`: video -> what is added to its audio."""
    rng = np.random.default_rng(0)
    audio = {}
    for video in "abcd":
        features = (rng.normal(size=(4, 2)) + (change or {}).get(video, 0.0)).astype(np.float32)
        features[1] = np.nan
        audio[video] = (features, csd.rows(4, 2)[1])
    labels = {video: csd.labels((0, 1), (1, 2)) for video in "abcd"}
    words = {video: csd.words("w", "x", "y", "z") for video in "abcd"}
    csd.corpus(folder / "csd", labels=labels, audio=audio, words=words)
    settings = BuildSettings(policy="masked", videos_per_shard=3)
    return build(folder / "csd", folder / "out", settings, jobs=1), audio


def test_the_fit_is_over_the_valid_steps_of_train(csd: Any, tmp_path: Path) -> None:
    result, audio = dataset(csd, tmp_path)
    is_train = np.array([True, True, False, False, False, True, False, False])
    scaling = fit(result.out, result.manifest, is_train, 10.0).modalities["audio"]
    rows = np.concatenate([audio["a"][0], audio["c"][0][2:]])
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    assert scaling.steps == len(rows) == 5
    assert scaling.mean == pytest.approx(rows.mean(axis=0).tolist(), rel=1e-12)
    assert scaling.std == pytest.approx(rows.std(axis=0).tolist(), rel=1e-12)


def test_other_parts_leave_no_trace_in_the_fit(csd: Any, tmp_path: Path) -> None:
    is_train = np.array([True, True, True, True, False, False, False, False])
    fits = []
    for name, change in (("plain", {}), ("test", {"c": 100.0, "d": -7.0}), ("train", {"b": 0.5})):
        result, _ = dataset(csd, tmp_path / name, change)
        fits.append(fit(result.out, result.manifest, is_train, 10.0))
    assert fits[0] == fits[1]
    assert fits[0] != fits[2]


def test_a_modality_without_a_valid_step_in_train(csd: Any, tmp_path: Path) -> None:
    result, _ = dataset(csd, tmp_path)
    nobody = np.zeros(8, np.bool_)
    scaling = fit(result.out, result.manifest, nobody, 10.0).modalities["audio"]
    assert (scaling.steps, scaling.std) == (0, [1, 1])


def test_a_missing_shard_is_one_line(csd: Any, tmp_path: Path) -> None:
    result, _ = dataset(csd, tmp_path)
    (result.out / "segments" / "part-00001.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DatasetError, match=r"part-00001\.parquet: missing or damaged; build the dataset again"):
        fit(result.out, result.manifest, np.ones(8, np.bool_), 10.0)
    (result.out / "segments" / "part-00001.parquet").unlink()
    with pytest.raises(DatasetError, match="missing or damaged"):
        fit(result.out, result.manifest, np.ones(8, np.bool_), 10.0)
