"""`mosei-align split` as a user types it: tasks, ways of scaling, written parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mosei_cli import console
from mosei_cli.align import app
from mosei_schemas.errors import MoseiError


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "_width", 100)


def test_a_split_tells_its_task_its_scale_and_what_was_written(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--task", "sentiment2", "--sentiment2", "has0", "--clip-intensity", "--normalise", "robust")
    told = run(
        capsys, "split", dataset, "--stratified", "--name", "all", "--write", "--normalise-per", "speaker", *options
    )
    info = json.loads((dataset / "splits" / "all" / "split.json").read_text())
    assert "Task: sentiment2 (zeros not negative (Has0), intensities clipped)" in told
    assert f"Label values clipped: {sum(info['labels_clipped'].values())}" in told
    assert "Normalisation of text: median and MAD fitted on" in told
    assert "By speaker: segments of the" in told
    for part in info["parts_written"]:
        clipped, values = part["clipped"]["audio"], part["values"]["audio"]
        assert f"Wrote {part['name']}: {part['rows']} segments; values clipped to ±10: text" in told
        assert f"audio {clipped:,} of {values:,}" in told


def test_the_table_of_choices_adds_up(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "split", dataset, "--random", "--name", "t", "--normalise", "none").splitlines()
    info = json.loads((dataset / "splits" / "t" / "split.json").read_text())
    first = told.index("Classes under every choice, all kept segments:") + 1
    rows = [line for line in told[first:] if line.startswith("  ")][: len(info["class_counts"])]
    kept = sum(info["segments"].values())
    for line, counts in zip(rows, info["class_counts"], strict=True):
        numbers = [int(cell.replace(",", "")) for cell in line.split() if cell.replace(",", "").isdigit()]
        right = [sum(by_part.values()) for by_part in (*counts["classes"].values(), *counts["left_out"].values())]
        assert numbers[:-1] == right[: len(counts["classes"])]
        assert numbers[-1] == sum(right[len(counts["classes"]) :])
        assert sum(numbers) == kept or counts["view"]["task"] == "emotion-multilabel"
    assert max(len(line) for line in told[first - 1 : first + len(rows) + 4]) <= 80
    assert "Normalisation: none, features are as in the dataset" in told


def test_several_splits_tell_theirs_too(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(
        capsys, "split", dataset, "--stratified", "--k-folds", "2", "--write", "--normalise", "minmax", "--ratios",
        "0.5,0.25,0.25", "--name", "cv",
    )  # fmt: skip
    assert "Normalisation of each: minimum and range, fitted on the valid steps of train, clipped to ±10" in told
    assert "Wrote the parts of cv-k2: " in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--task", "emotion7"), "emotion7: no such task"),
        (("--ties", "both"), "--ties: 'both' is not possible; give drop or first"),
        (("--normalise", "mad"), "--normalise: 'mad' is not possible"),
        (("--normalise-per", "video"), "--normalise-per: 'video' is not possible"),
        (("--normalise", "none", "--normalise-per", "speaker"), "--normalise none: scales nothing"),
        (("--groups", "x.csv"), "--groups means nothing to --random"),
    ],
)
def test_bad_options_are_one_line(shared_dataset: Path, options: tuple[str, ...], told: str) -> None:
    with pytest.raises(MoseiError) as caught:
        CliRunner().invoke(
            app, ["split", str(shared_dataset), "--random", "--name", "x", *options], catch_exceptions=False
        )
    assert told in str(caught.value)
    assert not (shared_dataset / "splits" / "x").exists()


def loaded(code: str, *arguments: object, among: str) -> str:
    """Which of some packages a new process has imported when it has run this code."""
    code += f"; import sys; print([name for name in '{among}'.split() if name in sys.modules])"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def test_splitting_waits_for_no_library_that_it_does_not_need() -> None:
    assert loaded("import mosei_align.split, mosei_align.verify", among="h5py torch polars pandas") == "[]"


def test_nor_does_the_whole_command(dataset: Path) -> None:
    """Most of its three seconds at MOSEI's size would else be imports. (Arrow itself imports pandas if it is there.)"""
    code = "from mosei_cli.align import app; app(standalone_mode=False)"
    given = "split", dataset, "--random", "--name", "t"
    assert loaded(code, *given, among="h5py torch polars scipy") == "[]"
    assert (dataset / "splits" / "t" / "split.json").exists()
