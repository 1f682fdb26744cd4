"""Look through a folder of `.csd` files and report every problem of every file, in one list."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mosei_align.alignment.frames import odd_rows
from mosei_align.sources.apart import index_file
from mosei_align.sources.corpus import assign_roles, check_roots, csd_files, label_columns
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.sources.labels import LabelRows, read_labels
from mosei_align.sources.modalities import Role, SourceSettings
from mosei_align.sources.sequence import problem_of, read_sequence
from mosei_schemas.errors import InputError, MoseiError
from mosei_schemas.labels import EMOTIONS, LabelPolicy, emotion_intensities, find_task, make_targets
from mosei_schemas.names import MODALITIES, Reason, State

Severity = Literal["error", "warning", "note"]
Progress = Callable[[str, int, int], None]
_EXAMPLES = 3
_ARRAY_PROBLEMS: dict[State, tuple[Severity, str]] = {
    State.MISSING_ARRAY: ("error", "features or intervals missing"),
    State.LENGTH_MISMATCH: ("error", "features and intervals differ in length"),
    State.BAD_ARRAY: ("error", "array of a wrong shape or type, or unreadable"),
    State.EMPTY: ("warning", "no rows"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem in one file.

    Attributes:
        severity: `error`: segments will be lost or the build refuses; `warning`: rows or frames will be; `note`: a
            peculiarity that is handled and costs nothing.
        file: the file's name, or the folder's.
        role: what the file is, empty where it is nothing.
        problem: what is wrong.
        count: how often.
        unit: of what.
        examples: ids, or ids with what exactly is wrong.
    """

    severity: Severity
    file: str
    role: str
    problem: str
    count: int
    unit: str
    examples: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    """Findings in the making: occurrences of one problem in one file add up."""

    file: str
    role: str
    found: dict[tuple[Severity, str, str], tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, severity: Severity, problem: str, unit: str, count: int, example: str) -> None:
        if count:
            total, examples = self.found.get((severity, problem, unit), (0, []))
            shown = [*examples, example] if len(examples) < _EXAMPLES else examples
            self.found[severity, problem, unit] = total + count, shown

    def done(self) -> list[Finding]:
        return [
            Finding(severity, self.file, self.role, problem, count, unit, tuple(examples))
            for (severity, problem, unit), (count, examples) in self.found.items()
        ]


def validate(folder: Path, sources: SourceSettings | None = None, progress: Progress | None = None) -> list[Finding]:
    """Check a folder of `.csd` files; changes nothing.

    Args:
        folder: the folder.
        sources: which root fills which role; None for the official names.
        progress: called with (file, videos done, videos in all).

    Returns:
        Every problem, errors first.

    Raises:
        InputError: there is no such folder, or no `.csd` file in it; anything else is a finding.
    """
    settings = sources or SourceSettings()
    findings: list[Finding] = []
    indexes: list[CsdIndex] = []
    for path in csd_files(folder):
        try:
            index = index_file(path)
            check_roots([*indexes, index])
            indexes.append(index)
        except MoseiError as error:
            findings.append(Finding("error", path.name, "", error.problem, 1, "file", _known(error.ident)))
    roles: dict[Role, CsdIndex] = {}
    ignored: list[CsdIndex] = []
    fitting: list[CsdIndex] = []
    for index in indexes:
        try:
            roles, ignored = assign_roles(folder, [*fitting, index], settings)
            fitting.append(index)
        except InputError as error:
            findings.append(Finding("error", index.path.name, "", error.problem, 1, "file", _known(error.ident)))
    findings += [
        Finding("warning", i.path.name, "", f"the root {i.declared!r} fills no role", 1, "file") for i in ignored
    ]
    if indexes and "labels" not in roles and not any(f.severity == "error" for f in findings):
        findings.append(Finding("error", folder.name, "labels", "no label sequence", 1, "folder"))
    if "labels" in roles and roles.keys().isdisjoint(MODALITIES):
        findings.append(
            Finding("error", folder.name, "", "no text, audio or video sequence beside the labels", 1, "folder")
        )
    findings += _presence(roles)
    for role, index in roles.items():
        findings += _check_file(role, index, settings, progress)
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda f: (order[f.severity], f.file, f.problem))


def _known(ident: str | None) -> tuple[str, ...]:
    return (ident,) if ident else ()


def _presence(roles: dict[Role, CsdIndex]) -> list[Finding]:
    """Ids that one file has and another has not, and ids that begin like others."""
    if "labels" not in roles:
        return []
    labelled = set(roles["labels"].entries)
    findings = []
    lost: set[str] = set()
    for role, index in roles.items():
        if role == "labels":
            continue
        missing = sorted(labelled - index.entries.keys())
        lost |= set(missing)
        if missing:
            examples = tuple(missing[:_EXAMPLES])
            findings.append(
                Finding("warning", index.path.name, role, "labelled videos missing", len(missing), "videos", examples)
            )
        extra = sorted(index.entries.keys() - labelled)
        if extra:
            examples = tuple(extra[:_EXAMPLES])
            findings.append(
                Finding("note", index.path.name, role, "videos without labels", len(extra), "videos", examples)
            )
    ordered = sorted(labelled)
    # In sorted order whatever a string is a prefix of follows it at once.
    purged = [(a, b) for a, b in itertools.pairwise(ordered) if b.startswith(a) and a in lost]
    if purged:
        examples = tuple(f"{a} of {b}" for a, b in purged[:_EXAMPLES])
        problem = "a missing id is a prefix of another (mmsdk would delete both)"
        findings.append(Finding("note", roles["labels"].path.name, "labels", problem, len(purged), "ids", examples))
    return findings


def _check_file(role: Role, index: CsdIndex, settings: SourceSettings, progress: Progress | None) -> Iterable[Finding]:
    findings = _Findings(index.path.name, role)
    columns: tuple[str, ...] = ()
    if role == "labels":
        try:
            columns = label_columns(index, settings.labels.columns)
        except InputError as error:
            findings.add("error", error.problem, "file", 1, error.remedy or "")
    with CsdFile(index.path) as file:
        for number, (video, entries) in enumerate(index.entries.items(), 1):
            findings.add("note", "several entries for one video, taken together", "videos", len(entries) > 1, video)
            for entry in entries:
                state, detail = problem_of(entry, index.width, index.is_text)
                if state is not State.OK:
                    severity, problem = _ARRAY_PROBLEMS[state]
                    findings.add(severity, problem, "videos", 1, f"{video} ({detail})")
            if role == "labels":
                _check_labels(findings, read_labels(file, index, video), columns, video)
            else:
                _check_sequence(findings, file, index, video, role)
            if progress is not None:
                progress(index.path.name, number, len(index.entries))
    return findings.done()


def _check_sequence(findings: _Findings, file: CsdFile, index: CsdIndex, video: str, role: Role) -> None:
    sequence = read_sequence(file, index, video)
    findings.add("warning", "rows with a NaN, infinite or inverted interval", "rows", sequence.rows_dropped, video)
    findings.add("note", "rows not in order of time, sorted when read", "videos", sequence.was_unsorted, video)
    if sequence.state is not State.OK:
        unreadable = sequence.state is State.BAD_ARRAY and "HDF5" in sequence.detail
        findings.add("error", _ARRAY_PROBLEMS[State.BAD_ARRAY][1], "videos", unreadable, f"{video} ({sequence.detail})")
        return
    if index.is_text:
        return
    odd = odd_rows(sequence.features)
    if odd.bad.all():
        findings.add("warning", "every row has a NaN or an infinity", "videos", 1, video)
    elif len(odd.bad_rows):
        columns = np.flatnonzero(odd.bad_values.any(axis=0))
        shown = ", ".join(map(str, columns[:4].tolist())) + (", ..." if len(columns) > 4 else "")
        findings.add(
            "warning", "rows with a NaN or an infinity", "rows", len(odd.bad_rows), f"{video} (columns {shown})"
        )
    if role == "video":
        findings.add("warning", "rows of zeros only: no face", "rows", int(odd.zero.sum()), video)


def _check_labels(findings: _Findings, labels: LabelRows, columns: tuple[str, ...], video: str) -> None:
    for row, problem in enumerate(labels.problems):
        if problem is Reason.LABEL_TIME:
            findings.add("error", "label interval not finite, inverted or too long", "segments", 1, f"{video}[{row}]")
        elif problem is Reason.LABEL_VALUE:
            findings.add("error", "label value NaN or infinite", "segments", 1, f"{video}[{row}]")
    good = np.array([problem is None for problem in labels.problems], np.bool_)
    start_s, end_s, values = labels.start_s[good], labels.end_s[good], labels.values[good]
    if not len(start_s):
        return
    order = np.argsort(start_s, kind="stable")
    findings.add("note", "label rows not in order of time", "videos", bool((np.diff(order) < 0).any()), video)
    findings.add("note", "labels that begin before 0 s", "segments", int((start_s < 0).sum()), video)
    findings.add("note", "labels of no length", "segments", int((start_s == end_s).sum()), video)
    overlaps = int((start_s[order][1:] < np.maximum.accumulate(end_s[order])[:-1]).sum())
    findings.add("note", "labels that overlap an earlier one", "segments", overlaps, video)
    if set(EMOTIONS) <= set(columns):
        emotions = emotion_intensities(values, columns)
        undefined = make_targets(find_task("emotion6"), values, columns, LabelPolicy("drop", "drop")).dropped
        findings.add("note", "no emotion at all", "segments", undefined["no emotion"], video)
        findings.add("note", "two or more strongest emotions", "segments", undefined["tied emotions"], video)
        outside = int(((emotions < 0) | (emotions > 3)).any(axis=1).sum())
        findings.add("warning", "an intensity outside [0, 3]", "segments", outside, video)
    if "sentiment" in columns:
        outside = int((np.abs(values[:, columns.index("sentiment")]) > 3).sum())
        findings.add("warning", "a sentiment outside [-3, 3]", "segments", outside, video)


def to_json(findings: list[Finding]) -> str:
    """Findings as JSON: `{"errors": n, "warnings": n, "notes": n, "findings": [...]}`."""
    counts = {f"{s}s": sum(f.severity == s for f in findings) for s in ("error", "warning", "note")}
    rows = [{name: getattr(f, name) for name in Finding.__slots__} for f in findings]
    return json.dumps({**counts, "findings": rows}, indent=2, ensure_ascii=False)
