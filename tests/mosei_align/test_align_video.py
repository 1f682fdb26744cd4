"""Whole videos against a slow reading of the rules, from the file to the kept segment.

The reference below knows the entries as they are written and the rules as they are documented; it shares no code with
the project. Times lie on a grid of quarters, so that touching, equal, nested and zero-length intervals are common;
feature values are such that every mean is exact.
"""

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosei_align.alignment.results import Segment
from mosei_align.alignment.video import AlignedVideo, VideoInput, align_videos
from mosei_align.sources.csd import CsdFile
from mosei_align.sources.labels import read_labels
from mosei_align.sources.sequence import open_stream, read_sequence
from mosei_schemas.manifest import BuildSettings

NAN, INF = math.nan, math.inf
WIDTHS = {"text": 2, "audio": 3, "video": 2}
Row = tuple[float, float, Any]
"""Start, end, and a vector or a token."""


@dataclass
class Case:
    """One video, as it is written to the files.

    A sequence is a list of entries, an entry a list of rows; None: the id is not in the file. `short`: the sequences in
    which an entry has not as many rows as intervals.
    """

    labels: list[list[Row]]
    sequences: dict[str, list[list[Row]] | None]
    words: list[list[Row]] | None
    has_words_file: bool
    short: set[str] = field(default_factory=set)


# ---------------------------------------------------------------- the reference


def finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


def instant(start: float, end: float) -> tuple[float, float]:
    return start, max(end, math.nextafter(start, INF))


def shared(a: tuple[float, float], b: tuple[float, float]) -> float:
    (a0, a1), (b0, b1) = instant(*a), instant(*b)
    return min(a1, b1) - max(a0, b0)


def clean(entries: list[list[Row]] | None, short: bool) -> tuple[str, list[Row]]:
    """State of a sequence, and its usable rows in order of time."""
    if entries is None:
        return "id_missing", []
    if short:
        return "length_mismatch", []
    rows = [row for entry in entries for row in entry if finite(*row[:2]) and row[0] <= row[1]]
    return ("ok" if rows else "empty"), sorted(rows, key=lambda row: row[0])


def is_zero(vector: list[float]) -> bool:
    return all(x == 0 for x in vector)


def is_valid(vector: list[float], name: str, mode: str) -> bool:
    if mode == "frame" and not finite(*vector):
        return False
    return name == "audio" or not is_zero(vector)


def average(vectors: list[list[float]], mode: str) -> list[float] | None:
    if not vectors:
        return None
    if mode == "zero":
        vectors = [[x if finite(x) else 0.0 for x in vector] for vector in vectors]
    columns = [[x for x in column if finite(x)] for column in zip(*vectors, strict=True)]
    if not all(columns):
        return None
    return [float(np.float32(math.fsum(column) / len(column))) for column in columns]


def owned(words: list[Row], span: tuple[float, float]) -> list[Row]:
    start, end = instant(*span)
    mine = [w for w in words if start <= (w[0] + w[1]) / 2 < end]
    if mine:
        return mine
    touching = [w for w in words if shared(w[:2], span) > 0]
    longest = max((shared(w[:2], span) for w in touching), default=0.0)
    return [w for w in touching if shared(w[:2], span) == longest][:1]


def bins(start: float, end: float, width: float) -> list[tuple[float, float]]:
    edges = [start]
    while start + len(edges) * width < end - 1e-6 * width:
        edges.append(start + len(edges) * width)
    return list(zip(edges, [*edges[1:], end], strict=True))


def expected(case: Case, chosen: BuildSettings) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """Ledger rows, and the kept segments by label row."""
    mode = chosen.nonfinite
    cleaned = {name: clean(case.sequences[name], name in case.short) for name in case.sequences}
    word_state, word_rows = clean(case.words, "words" in case.short) if case.has_words_file else ("no file", [])
    if word_state == "ok":
        words = [w for w in word_rows if w[2] != b"sp"]
    elif cleaned.get("text", ("",))[0] == "ok":
        words = [(a, b, None) for a, b, vector in cleaned["text"][1] if not is_zero(vector)]
    else:
        words = []
    ledger, kept = [], {}
    labels = [row for entry in case.labels for row in entry]
    for number, (start, end, values) in enumerate(labels):
        row: dict[str, Any] = {"start": start, "end": end, "steps": 0, "from": "none", "reason": None}
        ledger.append(row)
        if "labels" in case.short:
            row["reason"] = "label_arrays"
        elif not finite(start, end) or start > end:
            row["reason"] = "label_time"
        elif not finite(*values):
            row["reason"] = "label_value"
        if row["reason"]:
            continue
        row["from"], steps = steps_of(chosen, words, cleaned, (start, end))
        row["steps"] = len(steps)
        own = chosen.frames_of if row["from"] == "frames" else "text" if row["from"] == "words" else None
        features: dict[str, list[list[float] | None]] = {}
        for name, (state, rows) in cleaned.items():
            mine = owned(rows, (start, end)) if row["from"] == "frames" and name == own else None
            features[name] = [one_step(name, step, rows, mode, own, mine and mine[k]) for k, step in enumerate(steps)]
            seen = [r for r in rows if shared(r[:2], (start, end)) > 0 and (name != "text" or not is_zero(r[2]))]
            good = sum(vector is not None for vector in features[name])
            needed = max(chosen.min_coverage_steps, math.ceil(round(chosen.min_coverage_share * len(steps), 6)))
            if state == "ok" and good < needed:
                state = "low_coverage" if good else "all_invalid" if seen else "no_overlap"
            invalid = sum(not is_valid(r[2], name, mode) for r in seen)
            row[name] = (state, len(seen), invalid, good)
        row["reason"] = verdict(row, list(cleaned), chosen)
        if row["reason"] is None:
            known = [w for w in words if w[2] is not None]
            if row["from"] == "words":
                tokens = [w[2].decode() for w in owned(words, (start, end)) if w[2] is not None]
            else:
                tokens = spoken(steps, known)
            kept[number] = {"labels": values, "times": steps, "tokens": tokens, **features}
    return ledger, kept


def steps_of(
    chosen: BuildSettings, words: list[Row], cleaned: dict[str, tuple[str, list[Row]]], span: tuple[float, float]
) -> tuple[str, list[tuple[float, float]]]:
    """Where a segment's steps come from, and their times."""
    if chosen.steps == "uniform":
        assert chosen.uniform_bin_s is not None
        return "uniform", bins(*span, chosen.uniform_bin_s)
    mine = owned(cleaned[chosen.frames_of][1] if chosen.frames_of else words, span)
    if mine:
        return chosen.steps, [row[:2] for row in mine]
    if chosen.steps == "words" and set(cleaned) == {"text"}:
        return "none", []
    return "uniform", bins(*span, chosen.fallback_bin_s)


def spoken(steps: list[tuple[float, float]], words: list[Row]) -> list[str]:
    """The words whose middle lies in each step; where steps overlap, it is in the one that began last before it."""
    told: list[list[str]] = [[] for _ in steps]
    for start, end, token in words:
        middle = (start + end) / 2
        begun = [k for k, step in enumerate(steps) if step[0] <= middle]
        if begun and middle < steps[begun[-1]][1]:
            told[begun[-1]].append(token.decode())
    return [" ".join(found) for found in told] if any(told) else []


def one_step(
    name: str, step: tuple[float, float], rows: list[Row], mode: str, own_in: str | None, own_row: Row | None
) -> list[float] | None:
    if name == own_in:
        own = [own_row[2]] if own_row else [r[2] for r in rows if r[:2] == step]
        if own:
            vector = own[0]
            if not is_valid(vector, name, mode) or (mode == "column" and not finite(*vector)):
                return None
            return average([vector], mode)
    return average([r[2] for r in rows if shared(r[:2], step) > 0 and is_valid(r[2], name, mode)], mode)


def verdict(row: dict[str, Any], names: list[str], chosen: BuildSettings) -> str | None:
    states = {name: row[name][0] for name in names}
    if chosen.policy == "strict":
        if chosen.steps != "uniform" and row["from"] != chosen.steps:
            return "no_words" if chosen.steps == "words" else f"no_{chosen.frames_of}"
        return next((f"no_{name}" for name in ("text", "audio", "video") if states[name] != "ok"), None)
    if "ok" in states.values():
        return None
    return "no_words" if row["from"] == "none" else "nothing_observed"


# ---------------------------------------------------------------- random videos

grid = st.sampled_from([k / 4 for k in range(13)])
usable = st.tuples(grid, grid).map(lambda p: (min(p), max(p)))
spoiled = st.sampled_from([(NAN, 1.0), (1.0, NAN), (2.0, 1.0), (0.0, INF), (-INF, 1.0)])
often = st.integers(0, 9)


def value() -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, 0.0, 1.0, -2.0, 0.5, 3.0, NAN, INF])


def vector(width: int) -> st.SearchStrategy[list[float]]:
    mixed = st.lists(value(), min_size=width, max_size=width)
    whole = st.lists(st.sampled_from([1.0, -2.0, 0.5]), min_size=width, max_size=width)
    return st.one_of(mixed, whole, whole, st.sampled_from([[0.0] * width, [NAN] * width]))


def cut(draw: st.DrawFn, rows: list[Row]) -> list[list[Row]]:
    """Rows as one or two entries; now and then some of them come twice."""
    if draw(often) < 2:
        rows = rows + rows[: draw(st.integers(0, 2))]
    at = draw(st.integers(0, len(rows)))
    return [rows[:at], rows[at:]] if draw(often) < 3 else [rows]


def times(draw: st.DrawFn, count: int) -> list[tuple[float, float]]:
    return [draw(spoiled) if draw(often) == 0 else draw(usable) for _ in range(count)]


def stream(draw: st.DrawFn, width: int) -> list[list[Row]] | None:
    if draw(often) == 0:
        return None
    spans = times(draw, draw(st.sampled_from([0, 1, 3, 5, 8, 12])))
    if draw(st.booleans()):
        spans.sort(key=lambda span: (math.isnan(span[0]), span[0]))
    return cut(draw, [(*span, draw(vector(width))) for span in spans])


def word_times(draw: st.DrawFn) -> list[tuple[float, float]]:
    """No two words begin together: what belongs to which is then beyond doubt."""
    starts = draw(st.lists(grid, min_size=draw(st.integers(0, 5)), max_size=7, unique=True))
    return [(start, start + draw(st.sampled_from([0.0, 0.25, 0.25, 0.5, 1.0]))) for start in starts]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = draw(st.sampled_from([["text"], ["audio"], ["text", "audio"], ["audio", "video"], *[[*WIDTHS]] * 4]))
    has_words_file = draw(st.booleans())
    spans = word_times(draw)
    tokens = [draw(st.sampled_from([b"sp", b"a", b"be", b"sea"])) for _ in spans]
    words: list[list[Row]] | None = None
    if has_words_file and draw(often) > 1:
        words = cut(draw, [(*span, token) for span, token in zip(spans, tokens, strict=True)])
    sequences: dict[str, list[list[Row]] | None] = {name: stream(draw, WIDTHS[name]) for name in names}
    if "text" in names and draw(often) > 2:
        # As in the official files: a row a word, zeros for a pause; now and then a word has no row.
        rows = [
            (*span, [0.0, 0.0] if token == b"sp" else draw(vector(2)))
            for span, token in zip(spans, tokens, strict=True)
            if draw(often)
        ]
        sequences["text"] = cut(draw, rows)
    elif "text" in names and sequences["text"] is not None:
        seen: dict[float, Row] = {}
        for entry in sequences["text"]:
            for row in entry:
                seen.setdefault(row[0], row)
        sequences["text"] = [[row for row in seen.values() if not math.isnan(row[0])]]
    label_rows = [(*span, [NAN if draw(often) == 0 else draw(grid)]) for span in times(draw, draw(st.integers(1, 4)))]
    short = {name for name in [*names, "words", "labels"] if draw(st.integers(0, 19)) == 0}
    # A damaged entry of the labels spoils its own rows only; here it is all of them.
    labels = [label_rows] if "labels" in short else cut(draw, label_rows)
    return Case(labels, sequences, words, has_words_file, short)


chosen_settings = st.builds(
    BuildSettings,
    policy=st.just("masked"),
    nonfinite=st.sampled_from(["frame", "column", "zero"]),
    min_coverage_steps=st.sampled_from([1, 1, 1, 2, 3]),
    min_coverage_share=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    fallback_bin_s=st.sampled_from([0.25, 0.4, 1.0]),
)


def with_steps(kind: str, width: float, policy: str, chosen: BuildSettings) -> BuildSettings:
    """The settings with other steps and policy, checked as a whole."""
    told: dict[str, Any] = {"steps": kind.partition(":")[0], "policy": policy}
    told |= {"uniform_bin_s": width} if kind == "uniform" else {}
    told |= {"frames_of": kind.partition(":")[2]} if ":" in kind else {}
    return BuildSettings.model_validate(chosen.model_dump() | told)


step_kinds = st.sampled_from(["words", "words", "uniform", "frames:text", "frames:audio", "frames:video"])


# ---------------------------------------------------------------- both, side by side


def write(csd: Any, path: Path, root: str, entries: list[list[Row]] | None, width: int, short: bool) -> bool:
    """Write a sequence; False where its last entry has nothing to lose."""
    found: dict[str, tuple[Any, Any]] = {
        "other": (np.full((1, width), b"x") if root == "words" else np.ones((1, width)), [[0, 1]])
    }
    cuttable = False
    for number, entry in enumerate(entries or []):
        features = (
            np.array([row[2] for row in entry]) if root != "words" else np.array([[row[2]] for row in entry], "S9")
        )
        intervals = np.array([row[:2] for row in entry], float).reshape(-1, 2)
        if short and entry and not cuttable:
            features, cuttable = features[:-1] if len(entry) > 1 else np.concatenate([features, features]), True
        found[f"v[{number}]"] = (features.reshape(-1, width), intervals)
    # Most videos of the file have this width.
    found["other2"] = found["other"]
    csd.write(path, root, found)
    return cuttable


def align(csd: Any, folder: Path, case: Case, chosen: BuildSettings) -> AlignedVideo:
    """Write the case to files and align it; takes back what could not be cut short."""
    parts = {**case.sequences, "labels": case.labels}
    if case.has_words_file:
        parts["words"] = case.words
    done = {
        name: write(
            csd, folder / f"{name}.csd", name, part, {**WIDTHS, "labels": 1, "words": 1}[name], name in case.short
        )
        for name, part in parts.items()
    }
    case.short = {name for name, was_cut in done.items() if was_cut}

    with ExitStack() as stack:
        files = {name: stack.enter_context(CsdFile(folder / f"{name}.csd")) for name in parts}
        indexes = {name: file.index() for name, file in files.items()}
        labels = read_labels(files["labels"], indexes["labels"], "v")
        words = read_sequence(files["words"], indexes["words"], "v") if case.has_words_file else None
        streams = {name: open_stream(files[name], indexes[name], "v") for name in case.sequences}
        (aligned,) = align_videos([VideoInput("v", labels, streams, words)], chosen)
        read = {name: stream.read() for name, stream in streams.items()}
        (whole,) = align_videos([VideoInput("v", labels, read, words)], chosen)
    assert_same(aligned, whole)
    return aligned


@dataclass
class Own:
    """What is a segment's own of the steps it was aligned with."""

    times: list[tuple[float, float]]
    tokens: list[bytes]
    features: dict[str, tuple[Any, Any]]

    @classmethod
    def of(cls, segment: Segment) -> "Own":
        steps, number = segment.steps, segment.number
        mine, spoken = (slice(*bounds[number : number + 2]) for bounds in (steps.bounds, steps.token_bounds))
        return cls(
            list(zip(steps.start_s[mine].tolist(), steps.end_s[mine].tolist(), strict=True)),
            list(steps.tokens[spoken]),
            {name: (values[mine], valid[mine]) for name, (values, valid) in segment.vectors.items()},
        )


def assert_same(aligned: AlignedVideo, whole: AlignedVideo) -> None:
    """Reading only what is needed comes to the same as reading all; less is read, and so less is counted."""
    assert list(map(repr, aligned.ledger)) == list(map(repr, whole.ledger))  # NaN is not NaN
    assert len(aligned.segments) == len(whole.segments)
    for one, other in zip(aligned.segments, whole.segments, strict=True):
        mine, its = Own.of(one), Own.of(other)
        assert (mine.times, mine.tokens) == (its.times, its.tokens)
        for name, (values, valid) in mine.features.items():
            assert values.tobytes() == its.features[name][0].tobytes()
            assert valid.tolist() == its.features[name][1].tolist()
    for name, facts in aligned.sequences.items():
        all_facts = whole.sequences[name]
        assert facts.rows_read <= all_facts.rows_read == all_facts.rows - all_facts.rows_dropped
        assert facts._replace(rows_read=all_facts.rows_read) == all_facts
        if name in aligned.tallies:
            assert aligned.tallies[name].rows_nonfinite <= whole.tallies[name].rows_nonfinite
            assert aligned.tallies[name].rows_zero <= whole.tallies[name].rows_zero


def compare(aligned: AlignedVideo, case: Case, chosen: BuildSettings) -> None:
    ledger, kept = expected(case, chosen)
    assert len(aligned.ledger) == len(ledger)
    for number, (row, wanted) in enumerate(zip(aligned.ledger, ledger, strict=True)):
        assert row.segment_id == f"v[{number}]"
        assert [row.start_s, row.end_s] == pytest.approx([wanted["start"], wanted["end"]], nan_ok=True, abs=0)
        assert (row.reason, row.steps_from, row.steps) == (wanted["reason"], wanted["from"], wanted["steps"])
        for name, found in row.modalities.items():
            told = (str(found.state), found.frames, found.invalid_frames, found.valid_steps)
            assert told == wanted.get(name, ("not_aligned", 0, 0, 0)), (name, number)
    assert [segment.row.label_row for segment in aligned.segments] == sorted(kept)
    for segment in aligned.segments:
        wanted = kept[segment.row.label_row]
        assert segment.labels.tolist() == wanted["labels"]
        own = Own.of(segment)
        assert own.times == wanted["times"]
        assert own.tokens == [token.encode() for token in wanted["tokens"]]
        assert list(own.features) == list(case.sequences)
        for name, (values, valid) in own.features.items():
            assert values.dtype == np.float32
            assert valid.tolist() == [vector is not None for vector in wanted[name]]
            assert values.tolist() == [vector or [0.0] * WIDTHS[name] for vector in wanted[name]]


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    case=cases(),
    chosen=chosen_settings,
    strict=st.booleans(),
    kind=step_kinds,
    width=st.sampled_from([0.25, 0.4, 0.7, 5.0]),
)
def test_a_random_video_comes_out_as_the_rules_say(
    csd: Any,
    tmp_path_factory: pytest.TempPathFactory,
    case: Case,
    chosen: BuildSettings,
    strict: bool,
    kind: str,
    width: float,
) -> None:
    kind = kind if ":" not in kind or kind.partition(":")[2] in case.sequences else "uniform"
    chosen = with_steps(kind, width, "strict" if strict and len(case.sequences) == 3 else "masked", chosen)
    folder = tmp_path_factory.mktemp("case")
    compare(align(csd, folder, case, chosen), case, chosen)


def test_the_random_videos_reach_every_outcome() -> None:
    """A property proves little if its inputs never get anywhere."""
    seen: set[str] = set()

    @settings(max_examples=200, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=cases(), chosen=chosen_settings, strict=st.booleans(), kind=step_kinds)
    def collect(case: Case, chosen: BuildSettings, strict: bool, kind: str) -> None:
        kind = kind if ":" not in kind or kind.partition(":")[2] in case.sequences else "uniform"
        chosen = with_steps(kind, 0.4, "strict" if strict and len(case.sequences) == 3 else "masked", chosen)
        ledger, kept = expected(case, chosen)
        seen.update(str(row["reason"]) for row in ledger)
        seen.update(row["from"] for row in ledger)
        seen.update(row[name][0] for row in ledger for name in WIDTHS if name in row)
        seen.update("valid" for k in kept.values() for name in WIDTHS if any(k.get(name, [])))

    collect()
    reasons = {"None", "no_words", "no_text", "no_audio", "no_video", "nothing_observed"}
    labels = {"label_arrays", "label_time", "label_value"}
    states = {"ok", "id_missing", "length_mismatch", "empty", "no_overlap", "all_invalid", "low_coverage"}
    assert reasons | labels | states | {"words", "uniform", "frames", "none", "valid"} <= seen


def test_an_overlap_of_two_labels_tears_no_word(csd: Any, tmp_path: Path) -> None:
    words = [[(0.0, 1.0, b"a"), (1.0, 2.0, b"b"), (2.0, 3.0, b"c")]]
    text = [[(0.0, 1.0, [1.0, 1.0]), (1.0, 2.0, [2.0, 2.0]), (2.0, 3.0, [3.0, 3.0])]]
    case = Case([[(0.0, 1.75, [0.0]), (1.25, 3.0, [1.0])]], {"text": text}, words, has_words_file=True)
    aligned = align(csd, tmp_path, case, BuildSettings(policy="masked"))
    assert [Own.of(segment).tokens for segment in aligned.segments] == [[b"a", b"b"], [b"b", b"c"]]
    assert Own.of(aligned.segments[0]).features["text"][0].tolist() == [[1, 1], [2, 2]]


def test_a_words_vector_is_its_own_row_though_neighbours_overlap(csd: Any, tmp_path: Path) -> None:
    words = [[(0.0, 1.0, b"a"), (0.5, 1.5, b"b")]]
    text = [[(0.0, 1.0, [1.0, 1.0]), (0.5, 1.5, [3.0, 3.0])]]
    case = Case([[(0.0, 2.0, [0.0])]], {"text": text, "audio": text_as_audio(text)}, words, has_words_file=True)
    aligned = align(csd, tmp_path, case, BuildSettings(policy="masked"))
    assert Own.of(aligned.segments[0]).features["text"][0].tolist() == [[1, 1], [3, 3]]
    assert Own.of(aligned.segments[0]).features["audio"][0].tolist() == [[2, 2, 2], [2, 2, 2]]


def text_as_audio(text: list[list[Row]]) -> list[list[Row]]:
    return [[(a, b, [v[0]] * 3) for a, b, v in entry] for entry in text]


def test_an_unknown_word_keeps_its_step_with_the_text_bit_off(csd: Any, tmp_path: Path) -> None:
    words = [[(0.0, 1.0, b"a"), (1.0, 2.0, b"xyzzy")]]
    text = [[(0.0, 1.0, [1.0, 1.0]), (1.0, 2.0, [NAN, NAN])]]
    for with_words_file in (True, False):
        case = Case([[(0.0, 2.0, [0.0])]], {"text": text}, words, with_words_file)
        aligned = align(csd, tmp_path, case, BuildSettings(policy="masked"))
        values, valid = Own.of(aligned.segments[0]).features["text"]
        assert valid.tolist() == [True, False]
        assert values.tolist() == [[1, 1], [0, 0]]
        assert aligned.ledger[0].modalities["text"].invalid_frames == 1


@pytest.mark.parametrize(
    ("share", "steps", "kept"), [(0.0, 1, True), (0.0, 2, True), (0.0, 3, False), (0.5, 1, True), (0.6, 1, False)]
)
def test_coverage_decides(csd: Any, tmp_path: Path, share: float, steps: int, kept: bool) -> None:
    words = [[(float(k), k + 1.0, b"w") for k in range(4)]]
    audio = [[(float(k), k + 1.0, [1.0, 1.0, NAN if k > 1 else 1.0]) for k in range(4)]]
    case = Case([[(0.0, 4.0, [0.0])]], {"audio": audio}, words, has_words_file=True)
    chosen = BuildSettings(policy="masked", min_coverage_share=share, min_coverage_steps=steps)
    aligned = align(csd, tmp_path, case, chosen)
    assert bool(aligned.segments) == kept
    assert aligned.ledger[0].modalities["audio"].state == ("ok" if kept else "low_coverage")


def test_text_alone_and_a_segment_of_pauses_is_a_segment_without_words(csd: Any, tmp_path: Path) -> None:
    """Though a vector of other times overlaps it."""
    case = Case([[(0.0, 2.0, [0.0])]], {"text": [[(0.0, 1.5, [1.0, 1.0])]]}, [[(0.0, 1.0, b"sp")]], True)
    chosen = BuildSettings(policy="masked")
    compare(align(csd, tmp_path, case, chosen), case, chosen)
    assert expected(case, chosen)[0][0]["reason"] == "no_words"


def test_the_ledgers_figures_of_uniform_steps(csd: Any, tmp_path: Path) -> None:
    text = [[(0.0, 1.0, [2.0, 4.0]), (1.0, 1.5, [4.0, 8.0]), (1.5, 2.0, [0.0, 0.0])]]
    audio = [[(k / 4, (k + 1) / 4, [float(k), 1.0, NAN if k == 2 else 1.0]) for k in range(6)]]
    words = [[(0.0, 1.0, b"so"), (1.0, 1.5, b"it"), (1.5, 2.0, b"sp")]]
    case = Case([[(0.0, 2.0, [0.0])]], {"text": text, "audio": audio}, words, has_words_file=True)
    chosen = BuildSettings(policy="masked", steps="uniform", uniform_bin_s=0.5, min_coverage_share=0.7)
    (segment,) = align(csd, tmp_path, case, chosen).segments
    own = Own.of(segment)
    assert own.tokens == [b"", b"so", b"it", b""]
    assert own.features["text"][0].tolist() == [[2, 4], [2, 4], [4, 8], [0, 0]]
    assert own.features["text"][1].tolist() == [True, True, True, False]
    assert Own.of(segment).features["audio"][0].tolist() == [[0.5, 1, 1], [3, 1, 1], [4.5, 1, 1], [0, 0, 0]]
    text_row, audio_row = segment.row.modalities["text"], segment.row.modalities["audio"]
    assert (text_row.frames, text_row.invalid_frames, text_row.valid_steps) == (2, 0, 3)
    assert (audio_row.frames, audio_row.invalid_frames, audio_row.valid_steps) == (6, 1, 3)
    assert (segment.row.steps_from, segment.row.steps) == ("uniform", 4)


@pytest.mark.parametrize("drift", [-1e-7, 1e-7, -9e-4, 9e-4])
def test_a_word_of_no_length_finds_its_row_though_the_times_differ_a_little(
    csd: Any, tmp_path: Path, drift: float
) -> None:
    """As where one file has float32 times: the row does not overlap the word, and before a segment's start nothing."""
    words = [[(1.0, 1.0, b"a"), (1.25, 1.5, b"b")]]
    text = [[(1.0 + drift, 1.0 + drift, [1.0, 1.0]), (1.25, 1.5, [2.0, 2.0])]]
    case = Case([[(1.0, 2.0, [0.0])]], {"text": text, "audio": text_as_audio(text)}, words, has_words_file=True)
    (segment,) = align(csd, tmp_path, case, BuildSettings(policy="masked")).segments
    assert Own.of(segment).features["text"][0].tolist() == [[1, 1], [2, 2]]
    assert Own.of(segment).features["text"][1].tolist() == [True, True]
    assert Own.of(segment).features["audio"][1].tolist() == [False, True]
