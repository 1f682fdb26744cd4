"""Every planted problem is reported, in its file, with its weight; and nothing else is an error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosei_align.build import build
from mosei_align.sources.modalities import LabelSettings, SourceSettings
from mosei_align.synthetic.arrays import FILES
from mosei_align.validate import Finding, to_json, validate
from mosei_schemas.errors import InputError, MoseiError
from mosei_schemas.manifest import BuildSettings

FILE_OF = {str(root): name for root, name in FILES.items()}
ARRAYS = "array of a wrong shape or type, or unreadable"
INTERVALS = "rows with a NaN, infinite or inverted interval"
NONFINITE = "rows with a NaN or an infinity"


@pytest.fixture(scope="module")
def findings(defective_corpus: Path) -> list[Finding]:
    return validate(defective_corpus)


def of(findings: list[Finding], file: str, problem: str) -> Finding | None:
    """The one finding of a problem in a file."""
    found = [f for f in findings if (f.file, f.problem) == (file, problem)]
    assert len(found) <= 1
    return found[0] if found else None


def planted(corpus: Path) -> list[dict[str, Any]]:
    videos = json.loads((corpus / "truth.json").read_text())["videos"]
    return [
        {**defect, "video": video["video_id"], "labelled": video["labelled"]}
        for video in videos
        for defect in video["defects"]
    ]


KINDS = {
    "empty_arrays": ("warning", "no rows"),
    "missing_array": ("error", "features or intervals missing"),
    "length_mismatch": ("error", "features and intervals differ in length"),
    "nan_intervals": ("warning", INTERVALS),
    "unsorted_frames": ("note", "rows not in order of time, sorted when read"),
    "repeated_id": ("note", "several entries for one video, taken together"),
    "nan_frames": ("warning", NONFINITE),
    "inf_frames": ("warning", NONFINITE),
    "inf_everywhere": ("warning", "every row has a NaN or an infinity"),
    "no_face": ("warning", "rows of zeros only: no face"),
    "no_face_at_start": ("warning", "rows of zeros only: no face"),
    "inverted_label": ("error", "label interval not finite, inverted or too long"),
    "nan_label": ("error", "label value NaN or infinite"),
    "negative_start": ("note", "labels that begin before 0 s"),
    "zero_length_label": ("note", "labels of no length"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_defect_is_reported_in_its_file_with_its_weight(
    findings: list[Finding], defective_corpus: Path, kind: str
) -> None:
    severity, problem = KINDS[kind]
    defects = [d for d in planted(defective_corpus) if d["kind"] == kind]
    assert defects
    for sequence in {d["sequence"] for d in defects}:
        finding = of(findings, FILE_OF[sequence], problem)
        assert finding is not None, (kind, sequence)
        assert finding.severity == severity
        assert finding.count >= sum(d["sequence"] == sequence for d in defects)
        assert finding.examples


@pytest.mark.parametrize(
    "kind", ["missing_array", "length_mismatch", "empty_arrays", "inverted_label", "nan_label", "repeated_id"]
)
def test_the_count_and_the_ids_are_exactly_those_planted(
    findings: list[Finding], defective_corpus: Path, kind: str
) -> None:
    _, problem = KINDS[kind]
    for sequence, file in FILE_OF.items():
        defects = [d for d in planted(defective_corpus) if (d["kind"], d["sequence"]) == (kind, sequence)]
        finding = of(findings, file, problem)
        assert (finding.count if finding else 0) == len(defects)
        for example in finding.examples if finding else ():
            assert any(example.startswith(d["video"]) for d in defects)


def test_missing_and_unlabelled_videos_are_told_by_file(findings: list[Finding], defective_corpus: Path) -> None:
    missing = [d for d in planted(defective_corpus) if d["kind"] == "id_missing"]
    unlabelled = {d["video"] for d in missing if d["sequence"] == "All Labels"}
    for sequence, file in FILE_OF.items():
        if sequence == "All Labels":
            continue
        lost = [d for d in missing if d["sequence"] == sequence and d["labelled"]]
        finding = of(findings, file, "labelled videos missing")
        assert (finding.count if finding else 0) == len(lost)
        assert finding is None or finding.severity == "warning"
        extra = of(findings, file, "videos without labels")
        assert extra is not None
        assert (extra.severity, extra.count) == ("note", len(unlabelled))


def test_errors_come_first_and_every_finding_is_told_once(findings: list[Finding]) -> None:
    weights = [["error", "warning", "note"].index(f.severity) for f in findings]
    assert weights == sorted(weights)
    assert len({(f.file, f.problem, f.unit) for f in findings}) == len(findings)
    assert all(f.count > 0 and len(f.examples) <= 3 for f in findings)
    assert {f.file for f in findings} <= set(FILE_OF.values())


def test_a_clean_corpus_has_neither_errors_nor_warnings(clean_corpus: Path) -> None:
    findings = validate(clean_corpus)
    assert {f.severity for f in findings} <= {"note"}
    assert {f.problem for f in findings} <= {
        "labels that overlap an earlier one",
        "label rows not in order of time",
        "no emotion at all",
        "two or more strongest emotions",
    }


def test_the_json_form(findings: list[Finding]) -> None:
    told = json.loads(to_json(findings))
    assert [told["errors"], told["warnings"], told["notes"]] == [
        sum(f.severity == s for f in findings) for s in ("error", "warning", "note")
    ]
    assert told["errors"] > 0
    names = ["severity", "file", "role", "problem", "count", "unit", "examples"]
    assert told["findings"] == [
        {n: list(v) if n == "examples" else v for n in names for v in [getattr(f, n)]} for f in findings
    ]
    assert json.loads(to_json([])) == {"errors": 0, "warnings": 0, "notes": 0, "findings": []}


def test_progress_names_each_file(clean_corpus: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    validate(clean_corpus, progress=lambda file, done, total: seen.setdefault(file, []).append((done, total)))
    assert seen == {name: [(k, 8) for k in range(1, 9)] for name in FILE_OF.values()}


def small(csd: Any, tmp_path: Path, **changed: Any) -> Path:
    """A sound corpus of two videos, with some sequences exchanged or left out (None)."""
    sequences: dict[str, Any] = {
        "labels": {video: csd.labels((0, 1), (1, 2)) for video in "vw"},
        "text": {video: csd.rows(4, 2) for video in "vw"},
        "audio": {video: csd.rows(4, 2) for video in "vw"},
        "video": {video: csd.rows(4, 2) for video in "vw"},
    }
    sequences |= changed
    folder: Path = csd.corpus(tmp_path / "csd", **{k: v for k, v in sequences.items() if v is not None})
    return folder


def serious(findings: list[Finding]) -> list[tuple[str, str, str, int]]:
    return [(f.severity, f.file, f.problem, f.count) for f in findings if f.severity != "note"]


def test_a_sound_little_corpus_is_silent(csd: Any, tmp_path: Path) -> None:
    assert serious(validate(small(csd, tmp_path))) == []


def test_values_outside_the_scales_are_warned_of(csd: Any, tmp_path: Path) -> None:
    values, spans = csd.labels((0, 1), (1, 2), (2, 3), (3, 4))
    values[0, 0], values[1, 3], values[2, 5], values[3, 1] = -3.5, 3.4, -1, 3
    folder = small(csd, tmp_path, labels={"v": (values, spans), "w": csd.labels((0, 1))})
    assert serious(validate(folder)) == [
        ("warning", "labels.csd", "a sentiment outside [-3, 3]", 1),
        ("warning", "labels.csd", "an intensity outside [0, 3]", 2),
    ]


def test_notes_on_labels_count_segments(csd: Any, tmp_path: Path) -> None:
    values, spans = csd.labels((5, 6), (0, 2), (1.5, 3), (-0.4, 1), (2, 2))
    values[0, 1:], values[1, 1:3] = 0, 2
    folder = small(csd, tmp_path, labels={"v": (values, spans), "w": csd.labels((0, 1))})
    notes = {f.problem: f.count for f in validate(folder) if f.role == "labels"}
    assert notes == {
        "label rows not in order of time": 1,
        "labels that begin before 0 s": 1,
        "labels of no length": 1,
        "labels that overlap an earlier one": 3,
        "no emotion at all": 1,
        "two or more strongest emotions": 1,
    }


def test_which_columns_are_not_finite(csd: Any, tmp_path: Path) -> None:
    features, times = csd.rows(4, 9)
    features[0, [1, 2, 3, 5, 8]], features[1, 7] = np.nan, -np.inf
    features_w = csd.rows(4, 9)[0]
    features_w[2, 7] = -np.inf
    findings = validate(small(csd, tmp_path, audio={"v": (features, times), "w": (features_w, times)}))
    (finding,) = [f for f in findings if f.severity == "warning"]
    assert (finding.problem, finding.count, finding.unit, finding.role) == (NONFINITE, 3, "rows", "audio")
    assert finding.examples == ("v (columns 1, 2, 3, 5, ...)", "w (columns 7)")


def test_zeros_are_a_missing_face_in_video_only(csd: Any, tmp_path: Path) -> None:
    zeros = {"v": (np.zeros((4, 2)), csd.rows(4, 2)[1]), "w": csd.rows(4, 2)}
    findings = validate(small(csd, tmp_path, audio=zeros, video=zeros, text=zeros))
    assert serious(findings) == [("warning", "video.csd", "rows of zeros only: no face", 4)]


def test_widths_shapes_and_types(csd: Any, tmp_path: Path) -> None:
    audio = {
        "v": csd.rows(4, 2),
        "w": csd.rows(4, 3),
        "x": csd.rows(4, 2),
        "y": (np.ones(4), csd.rows(4, 2)[1]),
        "z": (np.ones((4, 2)), np.ones((4, 3))),
    }
    findings = validate(small(csd, tmp_path, audio=audio))
    (finding,) = [f for f in findings if f.severity == "error"]
    assert (finding.file, finding.problem, finding.count) == ("audio.csd", ARRAYS, 3)
    assert finding.examples[0] == "w (3 columns, other videos have 2)"


def test_damaged_chunks_are_found(csd: Any, tmp_path: Path) -> None:
    folder = small(csd, tmp_path)
    rng = np.random.default_rng(0)
    path = csd.write(
        folder / "audio.csd",
        "COVAREP",
        {v: (rng.normal(size=(500, 2)), csd.rows(500, 1)[1]) for v in "vw"},
        compression="gzip",
        chunks=True,
    )
    import h5py

    with h5py.File(path) as file:
        place = file["COVAREP/data/v/features"].id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[place + 10 : place + 400] = bytes(390)
    path.write_bytes(raw)
    (finding,) = [f for f in validate(folder) if f.severity == "error"]
    assert (finding.file, finding.problem, finding.count) == ("audio.csd", ARRAYS, 1)
    assert finding.examples[0].startswith("v (HDF5 cannot read it")


def test_every_unreadable_file_is_reported_beside_the_others(csd: Any, tmp_path: Path) -> None:
    folder = small(csd, tmp_path, audio={"v": (np.ones((3, 2)), np.ones((4, 2))), "w": csd.rows(4, 2)})
    (folder / "broken.csd").write_bytes(b"not hdf5")
    whole = (folder / "video.csd").read_bytes()
    (folder / "video.csd").write_bytes(whole[: len(whole) // 2])
    errors = [(f.file, f.problem) for f in validate(folder) if f.severity == "error"]
    assert errors == [
        ("audio.csd", "features and intervals differ in length"),
        ("broken.csd", "not an HDF5 file, so not a .csd file"),
        ("video.csd", "unreadable: it is cut short"),
    ]


def test_a_file_that_fills_no_role_and_roles_that_two_fill(csd: Any, tmp_path: Path) -> None:
    folder = small(csd, tmp_path)
    csd.write(folder / "odd.csd", "Mystery", {"v": csd.rows(1, 1)})
    assert serious(validate(folder)) == [("warning", "odd.csd", "the root 'Mystery' fills no role", 1)]
    csd.write(folder / "face.csd", "OpenFace_2", {"v": csd.rows(1, 1)})
    (error,) = [f for f in validate(folder) if f.severity == "error"]
    assert "two sequences can be the video" in error.problem
    csd.write(folder / "face.csd", "COVAREP", {"v": csd.rows(1, 1)})
    (error,) = [f for f in validate(folder) if f.severity == "error"]
    assert (error.file, error.problem) == ("face.csd", "the root 'COVAREP' is also in audio.csd")


def test_no_labels_is_an_error(csd: Any, tmp_path: Path) -> None:
    assert ("error", "csd", "no label sequence", 1) in serious(validate(small(csd, tmp_path, labels=None)))


def test_a_prefix_that_mmsdk_would_trip_over(csd: Any, tmp_path: Path) -> None:
    ids = ["25522", "255224", "x"]
    rows = {video: csd.rows(4, 2) for video in ids}
    without = {video: rows[video] for video in ids[1:]}
    labels = {video: csd.labels((0, 1)) for video in ids}
    folder = small(csd, tmp_path, labels=labels, audio=without, video=rows, text=rows)
    (note,) = [f for f in validate(folder) if "prefix" in f.problem]
    assert (note.severity, note.examples) == ("note", ("25522 of 255224",))


def test_a_missing_folder_and_an_empty_one(tmp_path: Path, one_line: Callable[..., str]) -> None:
    assert "no such folder" in one_line(lambda: validate(tmp_path / "none"), InputError)
    assert "no .csd file" in one_line(lambda: validate(tmp_path), InputError)


@pytest.mark.parametrize("case", ["labels alone", "labels without a video", "labels without a row"])
def test_what_a_masked_build_refuses_is_an_error(csd: Any, tmp_path: Path, case: str) -> None:
    changed: dict[str, Any] = {"labels alone": dict.fromkeys(("text", "audio", "video"))}.get(case, {})
    if case != "labels alone":
        changed = {"labels": {"v": csd.labels()} if case == "labels without a row" else {}}
    folder = small(csd, tmp_path, **changed)
    if case != "labels without a row":
        with pytest.raises(MoseiError):
            build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1)
    assert any(f.severity == "error" for f in validate(folder))


def test_label_columns_configured_wrongly_are_a_finding(csd: Any, tmp_path: Path) -> None:
    labels = LabelSettings(roots=("All Labels",), columns=("only one",))
    findings = validate(small(csd, tmp_path), SourceSettings(labels=labels))
    assert any(f.severity == "error" and f.file == "labels.csd" for f in findings)


def test_an_ambiguous_role_hides_no_other_problem(csd: Any, tmp_path: Path) -> None:
    folder = small(csd, tmp_path, audio={"v": (np.ones((3, 2)), np.ones((4, 2))), "w": csd.rows(4, 2)})
    csd.write(folder / "face.csd", "OpenFace_2", {"v": csd.rows(1, 1)})
    assert ("error", "audio.csd", "features and intervals differ in length", 1) in serious(validate(folder))
