"""Finished shards of several runs -> dataset directory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mosei_align.build import BuildResult
from mosei_align.building.assemble import assemble, check_target, finished_before, run_facts
from mosei_align.building.pieces import Piece, read_pieces
from mosei_align.building.plan import Plan
from mosei_align.building.watch import Stopwatch
from mosei_align.building.workdir import (
    PIECES,
    claimed,
    differences,
    discard,
    discard_if_unused,
    hidden_workdir,
    parts_folder,
    read_plan,
)
from mosei_schemas.dataset import is_dataset
from mosei_schemas.errors import InputError
from mosei_schemas.publish import sweep


def merge(out: Path, parts: Sequence[Path] = (), *, overwrite: bool = False) -> BuildResult:
    """Put the shards of runs with `--shard` together into a dataset directory.

    Args:
        out: the dataset directory to make.
        parts: folders of finished shards; none for `OUT.parts`, which is removed afterwards.
        overwrite: replace the dataset at `out`. Where that is the very dataset that a `merge` that was killed has left
            beside `OUT.parts`, it stays.

    Raises:
        InputError: a folder is missing, its shards are of another configuration, or a shard is missing or there twice.
        OutputError: see the message, one line.
    """
    watch = Stopwatch()
    folders = list({folder.resolve(): folder for folder in parts}.values()) or [parts_folder(out)]
    if not (is_dataset(out) and not parts and folders[0].is_dir()):
        check_target(out, overwrite=overwrite)
    plan = _common_plan(folders)
    with ExitStack() as locks:
        locks.enter_context(claimed(hidden_workdir(out), "alone"))
        locks.callback(discard_if_unused, hidden_workdir(out))
        for folder in folders:
            locks.enter_context(claimed(folder, "alone"))
        sweep(out)
        done = None if overwrite else finished_before(out, plan)
        stood = done is not None
        if done is None:
            check_target(out, overwrite=overwrite)
            done = assemble(out, plan, _gather(folders, plan), partial(run_facts, watch, "merge", 1, 0))
        if not parts:
            discard(folders[0])
    return BuildResult(out, done.manifest, done.run, (), done.splits_removed, stood)


def _common_plan(folders: Sequence[Path]) -> Plan:
    """The one plan that the shards of all folders are of."""
    plans: list[Plan] = []
    for folder in folders:
        plan = read_plan(folder) if folder.is_dir() else None
        if plan is None:
            beside = parts_folder(folder)
            remedy = f"name {beside}" if beside.is_dir() else "make them with 'mosei-align build --shard I/N'"
            raise InputError("no finished shards here", path=folder, remedy=remedy)
        if plans and plan != plans[0]:
            raise InputError(
                f"its shards are of another configuration than those of {folders[0]}: {differences(plans[0], plan)}",
                path=folder,
                remedy="make all shards with the same options and files",
            )
        plans.append(plan)
    return plans[0]


def _gather(folders: Sequence[Path], plan: Plan) -> list[tuple[Path, Piece]]:
    """Every shard of the plan, once, in order."""
    found: dict[int, tuple[Path, Piece]] = {}
    for folder in folders:
        for number, piece in read_pieces(folder / PIECES, plan.sha256, range(plan.shards)).items():
            if number in found:
                raise InputError(
                    f"shard {number} is also in {found[number][0].parent}",
                    path=folder,
                    remedy="name every folder once, and make every shard once",
                )
            found[number] = (folder / PIECES, piece)
    missing = [number for number in range(plan.shards) if number not in found]
    if missing:
        some = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        raise InputError(
            f"{len(missing)} of {plan.shards} shards are missing or damaged: {some}",
            path=folders[0],
            remedy="run the --shard I/N runs again (finished shards are not made twice), then merge",
        )
    return [found[number] for number in range(plan.shards)]
