"""A whole run: load train and valid, fit, choose on valid, and only then open test, once."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from affect_models.data.device import device_data
from affect_models.data.packed import OpenSplit, open_split, pool
from affect_models.data.tasks import TaskPart, open_task_parts
from affect_models.evaluation.floors import LinearFloor, linear_floor, majority_floor
from affect_models.evaluation.metrics import PRIMARY, Evaluation, evaluate
from affect_models.training import checkpoint as checkpoints
from affect_models.training.config import RunConfig
from affect_models.training.predict import predict
from affect_models.training.report import METRICS, PartReport, RunReport, Selection, part_report
from affect_models.training.trainer import EpochLog, FitResult, choose_device, fit
from mosei_schemas.dataset import read_manifest
from mosei_schemas.errors import DatasetError, OutputError
from mosei_schemas.labels import Task, available_tasks, find_task
from mosei_schemas.publish import new_file, unwritable, write_bytes
from mosei_schemas.version import __version__

CONFIG: Final = "config.json"
LOG: Final = "log.jsonl"
BEST: Final = "checkpoint"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is known before training starts; `split` withholds test."""

    split: OpenSplit
    task: Task
    train: TaskPart
    valid: TaskPart


def run(
    dataset: Path,
    split_name: str | None,
    config: RunConfig,
    out: Path | None,
    *,
    started: Callable[[Loaded, Path], None] = lambda _loaded, _folder: None,
    epoch_done: Callable[[EpochLog], None] = lambda _entry: None,
    step_done: Callable[[int, int, int], None] = lambda _epoch, _step, _steps: None,
) -> tuple[Path, RunReport]:
    """Train on a dataset and report.

    Args:
        dataset: a dataset directory.
        split_name: one of its splits; None for its only one.
        config: the run's configuration.
        out: the run directory; None for a new one under `runs/` with a name that says what it is.
        started: called when the data are loaded.
        epoch_done: called after every epoch.
        step_done: called after every step with (epoch, steps done in it, steps of an epoch).

    Returns:
        The run directory and what stands in its `metrics.json`.

    Raises:
        MoseiError: see the message, one line.
    """
    loaded = load(dataset, split_name, config)
    folder = claim_folder(out, loaded, config)
    write_bytes(folder / CONFIG, (json.dumps(config.model_dump(mode="json"), indent=2) + "\n").encode())
    started(loaded, folder)
    fitted = _fit(loaded, config, folder, epoch_done, step_done)
    report = _evaluate(loaded, config, folder, fitted)
    write_bytes(folder / METRICS, (report.model_dump_json(indent=2) + "\n").encode())
    return folder, report


def default_task(dataset: Path) -> str:
    """emotion6 where the dataset's labels serve it, else the first task that they serve."""
    tasks = available_tasks(read_manifest(dataset).label_columns)
    return tasks[0].name if tasks else "emotion6"


def load(dataset: Path, split_name: str | None, config: RunConfig) -> Loaded:
    """Open the split and read (or map) train and valid; test cannot be read through what is returned.

    Raises:
        DatasetError: the split has no train or no valid part, or a part has no segment with a target.
    """
    split = open_split(dataset, split_name).withholding("test")
    task = find_task(config.task)
    for part in ("train", "valid"):
        if not split.has(part):
            raise DatasetError(
                f"the split {split.info.name!r} has no {part} part, and a checkpoint is chosen on valid",
                path=dataset,
                remedy="make a split with train and valid",
            )
    train, valid = _task_parts(split, ("train", "valid"), task, config)
    for seen in (train, valid):
        if not len(seen):
            raise DatasetError(
                f"no segment of {seen.data.part} has a target for {task.name}",
                path=dataset,
                ident=split.info.name,
                remedy="choose another task or split",
            )
    return Loaded(split, task, train, valid)


def _task_parts(split: OpenSplit, parts: Sequence[str], task: Task, config: RunConfig) -> list[TaskPart]:
    train = config.train
    return open_task_parts(split, parts, task, config.labels.policy(), train.max_steps, train.residency)


def claim_folder(out: Path | None, loaded: Loaded, config: RunConfig) -> Path:
    """Make the run directory, which must be new or empty.

    Raises:
        OutputError: it holds something already, or cannot be made.
    """
    if out is None:
        stem = f"{config.model}-{config.task}-{loaded.split.info.name}-seed{config.train.seed}"
        names = (stem if k == 1 else f"{stem}-{k}" for k in range(1, 10_000))
        out = next(Path("runs") / name for name in names if not (Path("runs") / name).exists())
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise OutputError("exists and is not empty", path=out, remedy="choose another folder with --out")
    except OSError as error:
        raise unwritable(out, error) from error
    return out


def _fit(
    loaded: Loaded,
    config: RunConfig,
    folder: Path,
    epoch_done: Callable[[EpochLog], None],
    step_done: Callable[[int, int, int], None],
) -> FitResult:
    kind, train = loaded.task.kind, loaded.train

    def describe(epoch: int, value: float) -> checkpoints.Checkpoint:
        return checkpoints.Checkpoint(
            config=config,
            dims=loaded.split.dims,
            kind=kind,
            classes=list(train.classes),
            condition_classes=len(train.condition_names),
            epoch=epoch,
            validation_metric=PRIMARY[kind][0],
            validation_value=value,
            manifest_sha256=loaded.split.manifest_sha256,
            split=loaded.split.info.name,
        )

    def log(entry: EpochLog) -> None:
        stream.write(json.dumps(entry) + "\n")
        stream.flush()
        epoch_done(entry)

    try:
        with (folder / LOG).open("w", encoding="utf-8") as stream:
            return fit(config, train, loaded.valid, loaded.split.dims, kind, folder / BEST, describe, log, step_done)
    except OSError as error:
        raise unwritable(folder, error) from error


def _evaluate(loaded: Loaded, config: RunConfig, folder: Path, fitted: FitResult) -> RunReport:
    """Measure the chosen checkpoint on valid; then read test, which nothing has seen before, and measure it there."""
    floor = _linear(loaded, config)
    valid = _measure(loaded, "valid", loaded.valid, config, folder, floor)
    test = None
    notes = []
    if loaded.split.has("test"):
        (test_part,) = _task_parts(loaded.split.released(), ["test"], loaded.task, config)
        if len(test_part):
            test = _measure(loaded, "test", test_part, config, folder, floor)
        else:
            notes.append(f"no segment of test has a target for {loaded.task.name}")
    else:
        notes.append("the split has no test part: the figures are of valid, which also chose the checkpoint")
    info = loaded.split.info
    if info.leakage.videos_in_several_parts:
        notes.append(f"{info.leakage.videos_in_several_parts} videos are in several parts: the figures flatter")
    metric = PRIMARY[loaded.task.kind][0]
    return RunReport(
        created_by=f"mosei-align {__version__}",
        task=loaded.task.name,
        model=config.model,
        dataset=str(loaded.split.dataset),
        manifest_sha256=loaded.split.manifest_sha256,
        split=info.name,
        protocol=info.protocol,
        group_source=info.group_source,
        leaking_videos=info.leakage.videos_in_several_parts,
        selection=Selection(
            metric=metric,
            epoch=fitted.best_epoch,
            value=fitted.best_value,
            epochs=fitted.epochs,
            stopped_early=fitted.stopped_early,
            note=f"best {metric} on valid among {fitted.epochs} epochs, so the figures of valid flatter a little",
        ),
        parameters=fitted.parameters,
        linear_strength=None if floor is None else floor.strength,
        train=part_report(loaded.train, None, None, None),
        valid=valid,
        test=test,
        notes=notes,
        seconds=fitted.seconds,
        environment=_environment(config),
    )


def _linear(loaded: Loaded, config: RunConfig) -> LinearFloor | None:
    if not config.evaluation.floors:
        return None
    train, valid, dims = loaded.train, loaded.valid, loaded.split.dims
    kind, classes = loaded.task.kind, len(train.classes)
    return linear_floor(
        kind, pool(train.data, dims), train.targets, pool(valid.data, dims), valid.targets, n_classes=classes
    )


def _measure(
    loaded: Loaded, name: str, part: TaskPart, config: RunConfig, folder: Path, floor: LinearFloor | None
) -> PartReport:
    kind = loaded.task.kind
    device = choose_device(config.train.device)
    network, _ = checkpoints.load(folder / BEST)
    scores, _ = predict(network.to(device), device_data(part, config.train.max_steps, device), kind)
    _write_predictions(folder / f"predictions-{name}.parquet", part, scores)

    def judged(values: Any) -> Evaluation:
        resamples, seed = config.evaluation.resamples, config.train.seed
        groups = part.data.group
        return evaluate(kind, part.classes, part.targets, values, groups, resamples=resamples, seed=seed)

    if floor is None:
        return part_report(part, judged(scores), None, None)
    majority = majority_floor(kind, loaded.train.targets, len(part), n_classes=len(part.classes))
    linear = floor.predict(pool(part.data, loaded.split.dims))
    return part_report(part, judged(scores), judged(majority), judged(linear))


def _write_predictions(path: Path, part: TaskPart, scores: Any) -> None:
    """One row a segment: ids, target, and the score of every class."""
    columns: dict[str, Any] = {"segment_id": part.data.segment_id, "video_id": part.data.video_id}
    targets, values = np.atleast_2d(part.targets.T), np.atleast_2d(scores.T)
    if part.targets.ndim == 2:
        columns |= {f"true_{name}": targets[k] for k, name in enumerate(part.classes)}
    else:
        columns["true"] = part.targets
    columns |= {f"score_{name}": values[k] for k, name in enumerate(part.classes)}
    with new_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _environment(config: RunConfig) -> dict[str, str]:
    import torch

    device = choose_device(config.train.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"python": platform.python_version(), "torch": torch.__version__, "device": f"{device.type} ({name})"}
