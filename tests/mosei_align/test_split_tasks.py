"""A split is made for a task: its classes are the strata, it is recorded, and every other choice is counted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.split import split
from mosei_align.splits.options import split_method, split_protocol, split_view
from mosei_align.splits.segments import strata, texts
from mosei_align.verify import verify
from mosei_schemas.dataset import flat_values, read_manifest, read_split_info
from mosei_schemas.errors import ConfigError
from mosei_schemas.labels import EMOTIONS, MOSEI_LABELS, SENTIMENT_CLASSES, choices, make_targets
from mosei_schemas.splits import TaskView

RATIOS = (0.6, 0.2, 0.2)
FROZEN = Path(__file__).parents[1] / "data" / "v1" / "parquet" / "splits" / "speaker-disjoint"


@pytest.fixture(scope="module")
def folder(shared_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks") / "parquet"
    shutil.copytree(shared_dataset, folder)
    return folder


def rows_of(folder: Path, name: str) -> tuple[Any, list[str]]:
    """(N, K) labels and the part of each segment, through nothing but Arrow."""
    table = pq.read_table(folder / "segments", partitioning=None, columns=["segment_id", "labels"])
    found = pq.read_table(folder / "splits" / name / "assignment.parquet").to_pylist()
    part_of = {row["segment_id"]: row["part"] for row in found}
    labels = flat_values(table.column("labels")).reshape(len(table), -1)
    return labels, [part_of[ident] for ident in table.column("segment_id").to_pylist()]


@settings(max_examples=50)
@given(st.lists(st.lists(st.text(max_size=3), max_size=4), max_size=6), st.integers(0, 6))
def test_texts_are_words_with_spaces_between(words: list[list[str]], first: int) -> None:
    column = pa.array(words, pa.list_(pa.field("item", pa.string(), nullable=False)))
    assert texts(pa.table({"words": column}).slice(first)) == [" ".join(some) for some in words[first:]]


@pytest.mark.parametrize(
    ("view", "classes", "made_from"),
    [
        (TaskView(task="emotion6"), (*EMOTIONS, "no emotion"), "strongest emotion"),
        (TaskView(task="emotion6", no_emotion="neutral"), (*EMOTIONS, "neutral"), "strongest emotion"),
        (TaskView(task="emotion6", ties="drop"), (*EMOTIONS, "no emotion", "tied emotions"), "strongest emotion"),
        (TaskView(task="emotion6", no_emotion="first"), EMOTIONS, "strongest emotion"),
        (TaskView(task="emotion-multilabel", ties="drop"), (*EMOTIONS, "no emotion"), "strongest emotion"),
        (TaskView(task="sentiment"), SENTIMENT_CLASSES, "rounded sentiment"),
        (TaskView(task="sentiment7", bins="sdk"), SENTIMENT_CLASSES, "rounded sentiment"),
        (TaskView(task="sentiment2"), ("negative", "positive", "sentiment is exactly 0"), "sign of the sentiment"),
        (TaskView(task="sentiment2", sentiment2="has0"), ("negative", "not negative"), "sign of the sentiment"),
    ],
)
def test_a_tasks_classes_are_kept_in_proportion(
    folder: Path, view: TaskView, classes: tuple[str, ...], made_from: str
) -> None:
    made = split(folder, "stratified", ratios=RATIOS, view=view, name="task", overwrite=True)
    assert (made.info.view, made.info.stratified_by) == (view, made_from)
    assert tuple(made.info.classes) == classes
    sizes = [sum(by_part.values()) for by_part in made.info.classes.values()]
    assert sum(sizes) == sum(made.info.segments.values())
    for by_part, size in zip(made.info.classes.values(), sizes, strict=True):
        for part, ratio in zip(("train", "valid", "test"), RATIOS, strict=True):
            assert abs(by_part[part] - ratio * size) < 1 + 1e-9
    assert read_split_info(made.path) == made.info
    assert verify(folder, splits=["task"]).findings == ()


def test_strata_are_the_targets_by_hand() -> None:
    labels = np.zeros((5, 7), np.float32)
    labels[:, 0] = [-1, 0, 0.5, 2.5, -2.5]
    labels[0, 2] = labels[1, [1, 3]] = labels[3, 6] = 1
    by_hand = {"drop": [1, 7, 6, 5, 6], "first": [1, 0, 6, 5, 6]}
    for ties, expected in by_hand.items():
        view = TaskView.model_validate({"task": "emotion6", "ties": ties})
        assert strata(labels, list(MOSEI_LABELS), view)[1].tolist() == expected
    assert strata(labels, list(MOSEI_LABELS), TaskView(task="sentiment7", bins="sdk"))[1].tolist() == [2, 3, 4, 6, 0]
    assert strata(labels, list(MOSEI_LABELS), TaskView(task="sentiment"))[1].tolist() == [2, 3, 3, 5, 1]
    assert strata(labels, list(MOSEI_LABELS), TaskView(task="sentiment2"))[1].tolist() == [0, 2, 1, 1, 0]


def test_every_choice_is_counted_by_part(folder: Path) -> None:
    labels, parts = rows_of(folder, "random")
    columns = read_manifest(folder).label_columns
    counted = split(folder, "random", ratios=RATIOS, name="random", overwrite=True).info.class_counts
    assert counted is not None
    assert [c.view for c in counted] == [TaskView.of(task.name, policy) for task, policy in choices(columns)]
    for counts in counted:
        slow: dict[str, dict[str, int]] = {name: {} for name in counts.classes}
        left_out: dict[str, dict[str, int]] = {name: {} for name in counts.left_out}
        for row, part in zip(labels, parts, strict=True):
            (task,) = [task for task, _ in choices(columns) if task.name == counts.view.task][:1]
            found = make_targets(task, row[None], columns, counts.view.policy())
            for reason, mask in found.left_out.items():
                left_out[reason][part] = left_out[reason].get(part, 0) + int(mask[0])
            has = found.values[0] if task.kind == "multilabel" else np.arange(len(found.classes)) == found.values[0]
            for name, there in zip(found.classes, has, strict=True):
                slow[name][part] = slow[name].get(part, 0) + int(bool(there) and bool(found.usable[0]))
        assert counts.classes == slow
        assert counts.left_out == left_out


def test_clipped_labels_are_counted_and_stay_raw(folder: Path) -> None:
    labels, _ = rows_of(folder, "random")
    view = TaskView(task="sentiment", clip_intensity=True)
    made = split(folder, "random", ratios=RATIOS, view=view, name="clipped")
    place = read_manifest(folder).label_columns.index("sentiment")
    assert made.info.labels_clipped == {"sentiment": int((np.abs(labels[:, place]) > 3).sum())}
    assert all(counts.view.clip_intensity for counts in made.info.class_counts or ())
    assert np.array_equal(rows_of(folder, "random")[0], labels)


def test_a_split_of_before_tells_no_task() -> None:
    info = read_split_info(FROZEN)
    assert (info.view, info.class_counts, info.labels_clipped, info.parts_written) == (None, None, None, None)


def test_options_become_a_view(folder: Path) -> None:
    view = split_view(folder, "sentiment7", bins="sdk", ties="drop")
    assert view == TaskView(task="sentiment7", bins="sdk", ties="drop")
    assert split_view(folder, None) == TaskView(task="emotion6")
    with pytest.raises(ConfigError, match=r"--bins: 'odd' is not possible; give even or sdk"):
        split_view(folder, None, bins="odd")
    with pytest.raises(ConfigError, match=r"--no-emotion: 'keep' is not possible; give drop, neutral or first"):
        split_view(folder, None, no_emotion="keep")
    with pytest.raises(ConfigError, match="emotion7: no such task"):
        split_view(folder, "emotion7")
    assert split_method("robust", "speaker") == ("robust", "speaker")
    with pytest.raises(ConfigError, match=r"--normalise: 'sigma' is not possible; give zscore or robust or minmax"):
        split_method("sigma", "split")
    with pytest.raises(ConfigError, match=r"--normalise-per: 'video' is not possible"):
        split_method("zscore", "video")


def test_groups_go_with_speakers_of_any_kind(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"speaker_disjoint": False, "stratified": False, "random": True, "folds": None}
    assert split_protocol(**asked, groups=tmp_path / "g.csv", by_speaker=True) == "random"
    with pytest.raises(ConfigError, match="--groups means nothing to --random"):
        split_protocol(**asked, groups=tmp_path / "g.csv")
