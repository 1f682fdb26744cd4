"""Every way of scaling against plain NumPy, of all of train and of single speakers, from nothing but train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.build import build
from mosei_align.opening import open_dataset
from mosei_align.split import split
from mosei_align.splits.columns import TrainSteps
from mosei_align.splits.normalise import fit
from mosei_align.splits.statistics import STATISTICS, joined
from mosei_align.verify import verify
from mosei_schemas.dataset import NORMALIZATION, SPEAKERS, read_manifest, read_normalization, to_json
from mosei_schemas.errors import ConfigError, DatasetError
from mosei_schemas.manifest import BuildSettings, Manifest
from mosei_schemas.scaling import read_scalers
from mosei_schemas.splits import Method

METHODS: tuple[Method, ...] = ("zscore", "robust", "minmax")
FROZEN = Path(__file__).parents[1] / "data" / "v1" / "parquet" / "splits" / "speaker-disjoint"


def reference(values: Any, method: Method) -> tuple[Any, Any]:
    """Centre and spread of (S, D) values, written down as one would by hand."""
    exact = values.astype(np.float64)
    if method == "zscore":
        return exact.mean(axis=0), exact.std(axis=0)
    if method == "minmax":
        return exact.min(axis=0), exact.max(axis=0) - exact.min(axis=0)
    median = np.median(exact, axis=0)
    mad = np.median(np.abs(exact - median), axis=0)
    mean = np.abs(exact - median).mean(axis=0)
    return median, np.where(mad > 0, mad / 0.6744897501960817, mean * np.sqrt(np.pi / 2))


@settings(max_examples=150)
@given(
    rows=st.integers(1, 40),
    width=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    offset=st.sampled_from([0.0, 3.0, -1e4]),
    few=st.booleans(),
    method=st.sampled_from(METHODS),
)
def test_statistics_are_numpys(rows: int, width: int, seed: int, offset: float, few: bool, method: Method) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (rows, width)) if few else rng.normal(size=(rows, width))
    data = (offset + values).astype(np.float32)
    found = STATISTICS[method](np.ascontiguousarray(data.T))
    centre, spread = reference(data, method)
    constant = data.max(axis=0) == data.min(axis=0)
    assert found.steps == rows
    np.testing.assert_array_equal(found.constant, constant)
    np.testing.assert_allclose(found.centre, centre, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.spread, np.where(constant, 1, spread), rtol=1e-9)


def test_a_robust_scale_by_hand() -> None:
    found = STATISTICS["robust"](np.array([[1, 2, 4, 8, 1000]], np.float32))
    assert found.centre.tolist() == [4]
    assert found.spread.tolist() == [pytest.approx(1.482602218505602 * 3, rel=1e-15)]
    normal = np.random.default_rng(0).normal(2, 3, (1, 200_001)).astype(np.float32)
    assert STATISTICS["robust"](normal).spread[0] == pytest.approx(3, rel=0.01)


def test_a_column_of_mostly_one_value_has_a_robust_scale_all_the_same() -> None:
    values = np.zeros((2, 10), np.float32)
    values[0, :2] = 5, -1
    found = STATISTICS["robust"](values).scaling()
    assert found.mean == [0, 0]
    assert found.std == [pytest.approx(np.sqrt(np.pi / 2) * 0.6), 1]
    assert (found.constant_columns, found.mean_deviation_columns) == ([1], [0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, -3e-7, 1e-40])
def test_constant_columns_are_divided_by_one_and_listed(method: Method, constant: float) -> None:
    values = np.random.default_rng(1).normal(size=(3, 30)).astype(np.float32)
    values[1] = constant
    scaling = STATISTICS[method](values).scaling()
    assert (scaling.constant_columns, scaling.std[1]) == ([1], 1)
    assert scaling.mean[1] == pytest.approx(float(np.float32(constant)), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_step_nothing_is_scaled(method: Method) -> None:
    scaling = STATISTICS[method](np.empty((2, 0), np.float32)).scaling()
    assert (scaling.steps, scaling.mean, scaling.std, scaling.constant_columns) == (0, [0, 0], [1, 1], [])


@pytest.fixture(scope="module")
def dataset(csd: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Eight videos of three speakers and one video without; two segments each, some audio missing."""
    folder = tmp_path_factory.mktemp("methods")
    rng = np.random.default_rng(0)
    audio = {}
    for number in range(8):
        features = rng.normal(number, 1 + number, size=(12, 5)).astype(np.float32)
        features[:, 3] = number % 3  # constant in a speaker, not in train
        features[rng.integers(0, 12, 3)] = np.nan
        audio[f"v{number}"] = (features, csd.rows(12, 5)[1])
    labels = {video: csd.labels((0, 3), (3, 6)) for video in audio}
    csd.corpus(folder / "csd", labels=labels, audio=audio, words={v: csd.words(*"abcdefghijkl") for v in audio})
    (folder / "csd" / "speakers.csv").write_text("".join(f"v{number},s{number % 3}\n" for number in range(7)))
    result = build(folder / "csd", folder / "out", BuildSettings(policy="masked", videos_per_shard=3), jobs=1)
    return result.out, result.manifest


def steps_of(dataset: Path, wanted: Any) -> Any:
    """Valid audio vectors of the segments that are wanted, through nothing but Arrow."""
    found = [np.empty((0, 5), np.float32)]
    for row in pq.read_table(dataset / "segments", partitioning=None).to_pylist():
        if wanted(row):
            found += [np.array([vector], np.float32) for vector, ok in zip(row["audio"], row["audio_valid"]) if ok]  # noqa: B905
    return np.concatenate(found)


@pytest.mark.parametrize("method", METHODS)
def test_the_fit_is_over_the_valid_steps_of_train(dataset: tuple[Path, Manifest], method: Method) -> None:
    path, manifest = dataset
    is_train = np.arange(16) % 3 != 1
    ids = pq.read_table(path / "segments", partitioning=None, columns=["segment_id"]).column(0).to_pylist()
    learnt = {ident for ident, train in zip(ids, is_train, strict=True) if train}
    scaling = fit(path, manifest, is_train, 10.0, method).modalities["audio"]
    values = steps_of(path, lambda row: row["segment_id"] in learnt)
    centre, spread = reference(values, method)
    assert scaling.steps == len(values)
    np.testing.assert_allclose(scaling.mean, centre, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scaling.std, spread, rtol=1e-9)


def test_columns_in_little_room_are_the_same_columns(dataset: tuple[Path, Manifest]) -> None:
    path, manifest = dataset
    is_train = np.arange(16) % 3 != 1
    fits = []
    for room in (1, 4 * 80, 1 << 20):
        steps = TrainSteps.find(path, manifest, is_train, room)
        blocks = [(first, STATISTICS["robust"](columns)) for first, columns in steps.blocks("audio")]
        fits.append(joined([found for _, found in blocks]).scaling())
        assert [first for first, _ in blocks][: 2 if room == 1 else 1] == ([0, 1] if room == 1 else [0])
    assert fits[0] == fits[1] == fits[2]


def test_steps_that_are_not_finite_are_told(dataset: tuple[Path, Manifest], tmp_path: Path, csd: Any) -> None:
    path, manifest = dataset
    shard = manifest.shards[0].name
    table = pq.read_table(path / shard)
    rows = table.to_pylist()
    rows[0]["audio"][rows[0]["audio_valid"].index(True)][2] = np.inf
    (tmp_path / "segments").mkdir()
    pq.write_table(table.from_pylist(rows, table.schema), tmp_path / shard)
    alone = manifest.model_copy(update={"shards": [manifest.shards[0]]})
    for method in ("robust", "minmax"):
        with pytest.raises(DatasetError, match="audio: has valid steps that are not finite"):
            fit(tmp_path, alone, np.ones(len(rows), np.bool_), 10.0, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_speaker_is_scaled_by_own_steps_in_train(dataset: tuple[Path, Manifest], method: Method) -> None:
    path, _ = dataset
    made = split(path, "random", normalise=method, normalise_per="speaker", name=f"own-{method}", overwrite=True)
    rows = pq.read_table(path / "segments", partitioning=None).to_pylist()
    parts = dict(zip(*(pq.read_table(made.path / "assignment.parquet").column(c).to_pylist() for c in (0, 3)), strict=True))  # fmt: skip # noqa: E501
    train = {row["segment_id"] for row in rows if parts[row["segment_id"]] == "train"}
    everyone, _ = reference(steps_of(path, lambda row: row["segment_id"] in train), method)
    _, spread_of_train = reference(steps_of(path, lambda row: row["segment_id"] in train), method)
    padded = open_dataset(path, made.info.name).numpy("audio", normalised=True)
    by_own = 0
    for number, row in enumerate(rows):
        speaker = row["speaker_id"] or row["video_id"]
        own = steps_of(path, lambda r, s=speaker: (r["speaker_id"] or r["video_id"]) == s and r["segment_id"] in train)
        centre, spread = reference(own, method) if len(own) else (everyone, spread_of_train)
        constant = own.max(axis=0) == own.min(axis=0) if len(own) else np.zeros(5, bool)
        spread = np.where(constant, spread_of_train, spread)
        by_own += bool(len(own))
        seen = padded.observed[number]
        right = np.clip(
            (steps_of(path, lambda r, i=row["segment_id"]: r["segment_id"] == i) - centre) / spread, -10, 10
        )
        np.testing.assert_allclose(padded.values[number][seen], right, rtol=2e-5, atol=2e-5)
    told = made.normalization.by_speaker
    assert told is not None
    assert sum(told.segments.values()) == by_own
    assert told.constant_columns["audio"] >= told.speakers
    assert verify(path, splits=[made.info.name]).findings == ()


def test_speakers_who_are_not_in_train_are_scaled_as_train(dataset: tuple[Path, Manifest]) -> None:
    path, manifest = dataset
    made = split(path, "speaker-disjoint", ratios=(0.5, 0.25, 0.25), normalise_per="speaker", name="disjoint")
    assert made.normalization.by_speaker is not None
    assert made.normalization.by_speaker.segments == {"train": made.info.segments["train"]} | dict.fromkeys(
        (p for p in made.info.segments if p != "train"), 0
    )
    _, scalers = read_scalers(made.path, manifest)
    for row in pq.read_table(made.path / "assignment.parquet").to_pylist():
        assert (scalers.row_of.get(row["video_id"], 0) > 0) == (row["part"] == "train")


def test_a_groups_file_says_who_is_who_under_any_protocol(dataset: tuple[Path, Manifest], tmp_path: Path) -> None:
    path, _ = dataset
    groups = tmp_path / "who.csv"
    groups.write_text("".join(f"v{number},{'ab'[number % 2]}\n" for number in range(6)))
    heard: list[str] = []
    made = split(path, "stratified", groups=groups, normalise_per="speaker", name="who", warn=heard.append)
    table = pq.read_table(made.path / SPEAKERS)
    assert set(table.column("speaker").to_pylist()) <= {"group:a", "group:b", "video:v6", "video:v7"}
    assert any("who.csv lacks 2 videos" in line for line in heard)
    assert made.normalization.by_speaker is not None
    assert made.normalization.by_speaker.source == "groups file"
    assert verify(path, splits=["who"]).findings == ()


def test_none_leaves_every_value_as_it_is(dataset: tuple[Path, Manifest]) -> None:
    path, _ = dataset
    made = split(path, "random", normalise="none", name="raw")
    opened = open_dataset(path, "raw")
    np.testing.assert_array_equal(
        opened.numpy("audio", normalised=True).values, opened.numpy("audio", normalised=False).values
    )
    assert (made.normalization.clamp, made.normalization.method) == (None, "none")
    assert verify(path, splits=["raw"]).findings == ()
    with pytest.raises(ConfigError, match="scales nothing"):
        split(path, "random", normalise="none", normalise_per="speaker", name="raw2")


def test_other_parts_leave_no_trace(csd: Any, tmp_path: Path) -> None:
    """Test videos are far away in one dataset; nothing that is fitted differs, the speaker's own included."""
    (tmp_path / "folds.json").write_text('{"train": ["a", "b"], "valid": ["c"], "test": ["d"]}')
    found = []
    for shift in (0.0, 100.0):
        rng = np.random.default_rng(0)
        audio = {
            v: ((rng.normal(size=(8, 2)) + shift * (v in "cd")).astype(np.float32), csd.rows(8, 2)[1]) for v in "abcd"
        }
        folder = csd.corpus(
            tmp_path / f"csd{shift}", labels={v: csd.labels((0, 2), (2, 4)) for v in "abcd"}, audio=audio
        )
        (folder / "speakers.csv").write_text("a,s\nb,t\nc,s\nd,t\n")
        build(folder, tmp_path / f"out{shift}", BuildSettings(policy="masked"), jobs=1)
        for method in METHODS:
            made = split(
                tmp_path / f"out{shift}", "folds", folds=tmp_path / "folds.json", normalise=method,
                normalise_per="speaker", name=method,
            )  # fmt: skip
            found.append((made.path / NORMALIZATION).read_bytes() + (made.path / SPEAKERS).read_bytes())
    assert found[:3] == found[3:]


def test_a_z_score_is_written_as_it_was_before_there_was_a_choice() -> None:
    raw = (FROZEN / NORMALIZATION).read_bytes()
    assert to_json(read_normalization(FROZEN)) == raw
    assert b"by_speaker" not in raw


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows[0]["videos"].append(rows[1]["videos"][0]), "has a video of two speakers"),
        (lambda rows: rows[0]["audio_std"].__setitem__(0, 0.0), "audio: has numbers that no feature can have"),
        (lambda rows: rows[0]["audio_mean"].__setitem__(0, np.nan), "audio: has numbers that no feature can have"),
    ],
)
def test_a_damaged_table_of_speakers_is_refused(
    dataset: tuple[Path, Manifest], tmp_path: Path, change: Any, told: str
) -> None:
    path, _ = dataset
    made = split(path, "random", normalise_per="speaker", name="own-damaged", overwrite=True)
    table = pq.read_table(made.path / SPEAKERS)
    rows = table.to_pylist()
    change(rows)
    for name in (SPEAKERS, NORMALIZATION):
        (tmp_path / name).write_bytes((made.path / name).read_bytes())
    pq.write_table(table.from_pylist(rows, table.schema), tmp_path / SPEAKERS)
    with pytest.raises(DatasetError, match=rf"speakers\.parquet: {told}"):
        read_scalers(tmp_path, read_manifest(path))
    (tmp_path / SPEAKERS).unlink()
    with pytest.raises(DatasetError, match=r"speakers\.parquet: missing or damaged"):
        read_scalers(tmp_path, read_manifest(path))
