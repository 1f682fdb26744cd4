"""Finished shards -> dataset directory, which appears as a whole."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from mosei_align.building.pieces import PIECE_LEDGER, PIECE_LOSSES, Piece, piece_path, place_file
from mosei_align.building.plan import Plan
from mosei_align.building.watch import Stopwatch
from mosei_align.dataset.shards import shard_name, write_table
from mosei_align.dataset.tally import modality_info
from mosei_schemas.dataset import BUILD_RUN, LEDGER, LOSSES, MANIFEST, is_dataset, read_manifest, split_names, to_json
from mosei_schemas.errors import MoseiError, OutputError
from mosei_schemas.manifest import BuildRun, Counts, Manifest, Shard
from mosei_schemas.names import Reason, StepSource
from mosei_schemas.publish import new_directory, write_bytes
from mosei_schemas.version import __version__


@dataclass(frozen=True, slots=True)
class Assembled:
    """A dataset that was put together."""

    manifest: Manifest
    run: BuildRun
    splits_removed: tuple[str, ...]


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists, unless it is an empty folder, or a dataset that may be replaced.

    Raises:
        OutputError: something stands there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_dataset(out):
        raise OutputError("exists and is not a dataset", path=out, remedy="choose another folder with --out")
    if not overwrite:
        raise OutputError(
            "already holds a dataset",
            path=out,
            remedy="replace it with --overwrite or choose another folder with --out",
        )


def assemble(out: Path, plan: Plan, pieces: Sequence[tuple[Path, Piece]], run: Callable[[], BuildRun]) -> Assembled:
    """Put the shards of a plan together into a dataset directory at `out`, replacing what is there.

    Args:
        out: the dataset directory.
        plan: what was built.
        pieces: every shard's folder of pieces and record, in order.
        run: called when all is written, for `build.json`.

    Raises:
        OutputError: the disk refuses.
    """
    assert [piece.number for _, piece in pieces] == list(range(plan.shards))
    splits_removed = tuple(split_names(out))
    with new_directory(out) as staging:
        shards = []
        for folder, piece in pieces:
            if piece.segments is not None:
                name = shard_name(piece.number, plan.settings.file_format)
                place_file(piece_path(folder, piece.number) / piece.segments.name, staging / name)
                shards.append(piece.segments.model_copy(update={"name": name}))
        ledger = _together(pieces, PIECE_LEDGER)
        records = [piece for _, piece in pieces]
        manifest = Manifest(
            created_by=plan.created_by,
            settings=plan.settings,
            inputs=plan.inputs,
            modalities={
                name: modality_info(found.dim, found.root, found.dtype, [piece.tallies[name] for piece in records])
                for name, found in plan.modalities.items()
            },
            label_columns=plan.label_columns,
            speakers=plan.speakers,
            counts=ledger_counts(ledger, sum(piece.videos_kept for piece in records)),
            shards=shards,
            ledger=write_table(ledger, staging, LEDGER),
            losses=_losses(pieces, staging) if plan.settings.policy == "mmsdk" else None,
        )
        write_bytes(staging / MANIFEST, to_json(manifest))
        facts = run()
        write_bytes(staging / BUILD_RUN, to_json(facts))
    return Assembled(manifest, facts, splits_removed)


def finished_before(out: Path, plan: Plan) -> Assembled | None:
    """The dataset at `out`, where it is whole and what this plan makes; None where it is not."""
    try:
        manifest = read_manifest(out)
        run = BuildRun.model_validate_json((out / BUILD_RUN).read_bytes())
    except (MoseiError, OSError, ValidationError):
        return None
    return Assembled(manifest, run, ()) if plan.made(manifest) else None


def run_facts(watch: Stopwatch, engine: str, workers: int | None, resumed: int) -> BuildRun:
    """The facts of a run that ends now."""
    return BuildRun(
        started=watch.started.isoformat(timespec="seconds"),
        seconds=round(watch.seconds(), 3),
        engine=engine,
        workers=workers,
        shards_resumed=resumed,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Of everything that touches the data."""
    packages = {name: version(name) for name in ("numpy", "h5py", "pyarrow")}
    return {"mosei-align": __version__, "python": platform.python_version(), **packages}


def _losses(pieces: Sequence[tuple[Path, Piece]], staging: Path) -> Shard:
    return write_table(_together(pieces, PIECE_LOSSES), staging, LOSSES)


def _together(pieces: Sequence[tuple[Path, Piece]], name: str) -> pa.Table:
    paths = [piece_path(folder, piece.number) / name for folder, piece in pieces]
    return pa.concat_tables(pa.ipc.open_file(path.read_bytes()).read_all() for path in paths)


def ledger_counts(ledger: pa.Table, videos_kept: int) -> Counts:
    """The counts of a ledger."""
    kept = ledger.select(["steps", "steps_from"]).filter(ledger.column("kept"))
    origins = Counter(kept.column("steps_from").to_pylist())
    reasons = Counter(ledger.column("reason").to_pylist())
    return Counts(
        labelled=ledger.num_rows,
        kept=kept.num_rows,
        dropped=ledger.num_rows - kept.num_rows,
        dropped_by_reason={reason: reasons[reason] for reason in Reason if reasons.get(reason)},
        videos_labelled=pc.count_distinct(ledger.column("video_id")).as_py(),
        videos_kept=videos_kept,
        steps_kept=pc.sum(kept.column("steps"), min_count=0).as_py(),
        kept_with_uniform_steps=origins[StepSource.UNIFORM],
    )
