"""`affect explain`: a finished run -> tables, figures and a summary under `RUN/explain/`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from affect_models.explain.compute import Explained, explain_segments
from affect_models.explain.planted import decided, read_decided_by
from affect_models.explain.subject import Subject, open_subject
from affect_models.explain.summary import Planted, Summary, agreement, by_class, by_label, largest
from affect_models.explain.tables import (
    MEASURES,
    NO_LABEL,
    counterfactual_rows,
    counterfactuals_schema,
    modalities_schema,
    modality_rows,
    true_labels,
    write_table,
)
from affect_models.nets.affect_diff import AffectDiff
from mosei_schemas.dataset import to_json
from mosei_schemas.errors import ConfigError
from mosei_schemas.names import MODALITIES
from mosei_schemas.publish import new_directory
from mosei_schemas.version import __version__

FOLDER: Final = "explain"
SUMMARY: Final = "summary.json"
MODALITY_TABLE: Final = "modalities.parquet"
LABEL_TABLE: Final = "counterfactuals.parquet"
Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was written.

    Attributes:
        folder: where.
        modalities, counterfactuals: columns of the two tables; the second has no rows without a prior.
    """

    folder: Path
    summary: Summary
    modalities: Columns
    counterfactuals: Columns


def explain(
    run: Path,
    *,
    data: Path | None = None,
    part: str | None = None,
    segment: str | None = None,
    limit: int | None = None,
    samples: int | None = None,
    references: int = 8,
    seed: int = 0,
    device: str = "auto",
    truth: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Explanation:
    """Explain one segment or a part, and write `RUN/explain/<part>/` or `RUN/explain/<segment>/` anew as a whole.

    Args:
        run: directory of a finished run.
        data: where its dataset is now; None for where it was.
        part: `train`, `valid` or `test`; None for test, or valid where the split has no test part.
        segment: the id of one segment, instead of a part.
        limit: at most so many segments of the part, evenly spaced.
        samples: latents drawn for each label; None for 1 with a prior and 0 without.
        references: segments whose modalities take the place of a segment's own.
        seed: of the references, the noise and the resamples of the intervals.
        device: `auto`, `cpu`, `cuda`, ...
        truth: `truth.json` of a synthetic corpus, to measure how often the planted modality is named.
        progress: told (segments done, all).

    Raises:
        MoseiError: see the message, one line.
    """
    subject = open_subject(run, data, part, segment, limit, device)
    known = None if truth is None else read_decided_by(truth)
    drawn, notes = _samples(subject, samples)
    true = true_labels(subject)
    tables: tuple[Columns, Columns] = ({}, {})
    with subject.arithmetic.matmuls():
        found = list(explain_segments(subject, samples=drawn, references=references, seed=seed, done=progress))
    for one in found:
        for table, rows in zip(
            tables, (modality_rows(subject, one, true), counterfactual_rows(subject, one, true)), strict=True
        ):
            for name, values in rows.items():
                table.setdefault(name, []).extend(values)
    settings = {"seed": seed, "references": references, "samples": drawn}
    ids = [subject.part.data.segment_id[i] for i in subject.chosen]
    planted = None if truth is None or known is None else decided(ids, known, truth)
    summary = _summary(subject, found, tables, planted, settings, notes)
    name = subject.part.data.part if segment is None else _folder_name(segment)
    result = Explanation(run / FOLDER / name, summary, *tables)
    _write(subject, result)
    return result


def _folder_name(segment: str) -> str:
    """`video.row` for `video[row]`: brackets in a path are patterns to many programs."""
    video, _, row = segment.rpartition("[")
    return f"{quote(video, safe='')}.{row.removesuffix(']')}"


def _samples(subject: Subject, samples: int | None) -> tuple[int, list[str]]:
    """How many latents are drawn for each label, and what a reader should know of it."""
    network = subject.network
    if isinstance(network, AffectDiff) and network.prior is not None:
        return 1 if samples is None else samples, []
    if samples:
        raise ConfigError(
            "the run has no prior to draw latents from",
            path=subject.run,
            ident="--samples",
            remedy="leave it out to explain the modalities alone, or train with net.diffusion=true",
        )
    return 0, ["the run has no prior, so no latents were drawn: the modalities alone are explained"]


def _summary(
    subject: Subject,
    found: list[Explained],
    tables: tuple[Columns, Columns],
    planted: npt.NDArray[np.int64] | None,
    settings: dict[str, int],
    notes: list[str],
) -> Summary:
    rows, seed = subject.chosen, settings["seed"]
    present, groups = subject.present[rows], np.array(subject.part.data.group)[rows]
    true = np.array(true_labels(subject))[rows]
    columns = {name: np.array(tables[0][name], np.float64).reshape(-1, len(MODALITIES)) for name in MEASURES}
    measures = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    signed = subject.checkpoint.kind == "regression"
    named = {name: largest(values, present, signed) for name, values in measures.items()}
    checkpoint, data = subject.checkpoint, subject.part.data
    without = present & ~np.isfinite(columns["replacement"])
    return Summary(
        created_by=f"mosei-align {__version__}",
        run=str(subject.run),
        model=checkpoint.config.model,
        task=checkpoint.config.task,
        split=checkpoint.split,
        part=data.part,
        segments=len(rows),
        of=len(subject.part),
        segments_cut=data.segments_cut,
        without_reference={m: int(without[:, k].sum()) for k, m in enumerate(MODALITIES)},
        classes=by_class(measures, named, present, true, groups, (*subject.labels, NO_LABEL), seed),
        labels=by_label(tables[1], dict(zip(data.segment_id, data.group, strict=True)), subject.labels, seed),
        planted=None if planted is None else _planted(named, planted, present, found, true, groups, subject, seed),
        notes=notes,
        **settings,
    )


def _planted(
    named: dict[str, npt.NDArray[np.int64]],
    planted: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
    found: list[Explained],
    true: npt.NDArray[Any],
    groups: npt.NDArray[Any],
    subject: Subject,
    seed: int,
) -> Planted:
    known = planted >= 0
    observed = known & present[np.arange(len(planted)), planted.clip(min=0)]
    label = np.array(subject.labels)[np.concatenate([one.label for one in found])]
    return Planted(
        segments=int(known.sum()),
        all=agreement(named, planted, observed, groups, seed),
        correct=agreement(named, planted, observed & (label == true), groups, seed),
    )


def _write(subject: Subject, result: Explanation) -> None:
    with new_directory(result.folder) as folder:
        write_table(folder / MODALITY_TABLE, result.modalities, modalities_schema())
        if result.counterfactuals["label"]:
            write_table(folder / LABEL_TABLE, result.counterfactuals, counterfactuals_schema())
        if find_spec("matplotlib") is None:
            result.summary.notes.append("no figures: install the extra: pip install 'mosei-align[figures]'")
        else:
            from affect_models.explain.figures import draw_figures

            draw_figures(folder, subject, result.summary, result.modalities, result.counterfactuals)
        (folder / SUMMARY).write_bytes(to_json(result.summary))
