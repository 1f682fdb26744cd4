"""`mosei-align report` and `mosei-align inspect` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mosei_align.reports.inspect import inspect
from mosei_align.reports.write import write_report
from mosei_cli import show_report


def plain_lines(text: str) -> list[str]:
    assert all(c.isprintable() or c == "\n" for c in text), "control characters"
    return text.splitlines()


def test_report(cli, dataset: Path) -> None:
    done = cli("mosei-align", "report", dataset, "--max-steps", 10)
    assert done.returncode == 0, done.stderr
    page = dataset.parent / "parquet-report.html"
    assert f"Wrote {page}" in done.stdout
    assert "= kept" in done.stdout
    assert "L = 10 cuts" in done.stdout
    assert page.read_bytes().startswith(b"<!doctype html>")
    plain_lines(done.stdout)
    first = page.read_bytes()
    assert cli("mosei-align", "report", dataset, "--max-steps", 10).returncode == 0
    assert page.read_bytes() == first


def test_report_refuses_to_replace_what_is_no_report(cli, fails, dataset: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    assert "--overwrite" in fails("mosei-align", "report", dataset, "--out", mine)
    assert cli("mosei-align", "report", dataset, "--out", mine, "--overwrite").returncode == 0
    assert "no such dataset folder" in fails("mosei-align", "report", tmp_path / "nothing")


def test_a_contradiction_is_exit_code_1_and_still_a_page(cli, dataset: Path) -> None:
    path = dataset / "manifest.json"
    path.write_text(path.read_text().replace('"kept": ', '"kept": 1', 1))
    done = cli("mosei-align", "report", dataset)
    assert done.returncode == 1
    assert "The account does not add up" in done.stdout
    assert "contradicts itself" in (dataset.parent / "parquet-report.html").read_text()


def test_inspect(cli, fails, shared_dataset: Path) -> None:
    ledger = pq.read_table(shared_dataset / "ledger.parquet").to_pylist()
    kept = next(row for row in ledger if row["kept"] and row["steps"] > 3)
    dropped = next(row for row in ledger if not row["kept"])
    done = cli("mosei-align", "inspect", shared_dataset, kept["segment_id"], "--steps", 2, "--split", "random")
    assert done.returncode == 0, done.stderr
    assert "strongest emotion" in done.stdout
    assert f"--steps {kept['steps']} shows all" in done.stdout
    plain_lines(done.stdout)
    done = cli("mosei-align", "inspect", shared_dataset, dropped["segment_id"])
    assert f"({dropped['reason']})" in done.stdout
    done = cli("mosei-align", "inspect", shared_dataset, kept["video_id"])
    assert kept["segment_id"] in done.stdout
    done = cli("mosei-align", "inspect", shared_dataset, kept["segment_id"], "--json")
    assert json.loads(done.stdout)["steps"] == kept["steps"]
    assert "did you mean" in fails("mosei-align", "inspect", shared_dataset, kept["video_id"] + "x")


def test_ids_that_begin_with_a_dash_are_no_options(fails, shared_dataset: Path) -> None:
    assert "-Wh3J[0]: no such segment" in fails("mosei-align", "inspect", shared_dataset, "-Wh3J[0]")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_everything_fits_the_terminal(
    shared_dataset: Path,
    tmp_path: Path,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(show_report.out, "_width", width)
    ledger = pq.read_table(shared_dataset / "ledger.parquet").to_pylist()
    show_report.report(*write_report(shared_dataset, tmp_path / "r.html"))
    for kept in (True, False):
        row = next(row for row in ledger if row["kept"] is kept)
        show_report.look(inspect(shared_dataset, row["segment_id"]), 5)
        show_report.look(inspect(shared_dataset, row["video_id"]), 5)
    drawn = [line for line in plain_lines(capsys.readouterr().out) if line[:1] in "┏┃┡│├└"]
    assert drawn
    assert max(map(len, drawn)) <= max(width, 80)


def test_markup_and_control_characters_in_ids_are_text() -> None:
    assert show_report.plain("[red]\x1b[31mx\n") == "\\[red]�[31mx�"
    assert show_report.span(float("nan"), 1) == "not usable"
