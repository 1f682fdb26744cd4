"""Differences between two sets of sequences, and reading what mmsdk wrote."""

import json
from pathlib import Path

import numpy as np

from mosei_align import compat_mmsdk
from mosei_align.compat_mmsdk import Entry, compare, read_deployed


def entry(value: float = 1.0, rows: int = 1, kind: str = "f4") -> Entry:
    return Entry(np.full((rows, 2), value, kind), np.zeros((rows, 2)))


def test_equal_sequences_have_no_difference() -> None:
    made = {"x": {"a[0]": entry(np.nan), "a[1]": entry()}, "y": {}}
    words = {"w": {"a": Entry(np.array([[b"so"]]), np.zeros((1, 2))), "b": Entry(np.empty((0, 3)), np.empty((0, 2)))}}
    assert compare(made, made) == []
    assert compare(words, words) == []


def test_every_kind_of_difference_is_told() -> None:
    ours = {
        "x": {"a[0]": entry(), "a[1]": entry(kind="f8"), "a[2]": entry(rows=2), "a[3]": entry(0.0), "a[4]": entry()},
        "mine": {},
    }
    theirs = {
        "x": {"a[1]": entry(), "a[0]": entry(), "a[2]": entry(), "a[3]": entry(-0.0), "a[5]": entry()},
        "yours": {},
    }
    assert [str(difference) for difference in compare(ours, theirs)] == [
        "yours: missing",
        "mine: extra",
        "x a[5]: missing",
        "x a[4]: extra",
        "x a[0]: order (theirs has a[1] there)",
        "x a[1] features: dtype (ours float64, theirs float32)",
        "x a[2] features: shape (ours (2, 2), theirs (1, 2))",
        "x a[2] intervals: shape (ours (2, 2), theirs (1, 2))",
        "x a[3] features: values (2 of 2 values, 2 bytes)",
    ]


def test_sequences_in_another_order() -> None:
    (difference,) = compare({"x": {}, "y": {}}, {"y": {}, "x": {}})
    assert str(difference) == "x: order (theirs has y there)"


def test_what_mmsdk_deployed_comes_by_id_and_number(csd, tmp_path: Path) -> None:
    keys = ["b[0]", "a[10]", "a[2]", "a[0]"]
    rows = {key: csd.rows(1, 2) for key in keys}
    csd.write(tmp_path / "FACET 4.2.csd", "FACET 4.2", rows, {"root name": json.dumps("FACET 4.2")}, compression="gzip")
    found = read_deployed(tmp_path)
    assert {name: list(entries) for name, entries in found.items()} == {"FACET 4.2": ["a[0]", "a[2]", "a[10]", "b[0]"]}


def test_the_public_names() -> None:
    assert sorted(compat_mmsdk.__all__) == compat_mmsdk.__all__ == [
        "Collapse", "Difference", "Entries", "Entry", "Loss", "Purge", "RecipeFiles", "RecipeVideo", "Sequences",
        "Stage", "StageLoss", "Tensors", "align", "as_folder", "average", "compare", "get_tensors", "hard_unify",
        "impute", "plan_purge", "read_dataset", "read_deployed", "read_sequences", "revert", "surviving_sequences",
        "words_then_labels",
    ]  # fmt: skip
    assert all(hasattr(compat_mmsdk, name) for name in compat_mmsdk.__all__)
