"""What comes after training: the chosen checkpoint on valid and, opened only now, on test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from affect_models.data.device import device_data
from affect_models.data.packed import pool
from affect_models.data.tasks import TaskPart
from affect_models.evaluation.floors import LinearFloor, linear_floor, majority_floor
from affect_models.evaluation.metrics import PRIMARY, Evaluation, evaluate
from affect_models.training import checkpoint as checkpoints
from affect_models.training.config import RunConfig
from affect_models.training.devices import choose_device, environment
from affect_models.training.distributed import ALONE, Ranks
from affect_models.training.efficiency import EFFICIENCY, efficiency
from affect_models.training.folder import BEST, Origin
from affect_models.training.loading import Loaded, task_parts
from affect_models.training.precision import Arithmetic
from affect_models.training.predict import predict
from affect_models.training.report import PartReport, RunReport, Selection, part_report
from affect_models.training.trainer import FitResult
from mosei_schemas.dataset import to_json
from mosei_schemas.publish import new_file, write_bytes
from mosei_schemas.version import __version__


def measure(loaded: Loaded, folder: Path, fitted: FitResult, origin: Origin, ranks: Ranks = ALONE) -> RunReport:
    """Measure the chosen checkpoint on valid; then read test, which nothing has seen before, and measure it there."""
    config = loaded.config
    floor = _linear(loaded, config)
    device = choose_device(config.train.device, ranks.local, ranks.world)
    valid = _measure(loaded, "valid", loaded.valid, device, folder, floor)
    with Arithmetic.of(config.train, device).matmuls():
        measured = efficiency(folder / BEST, loaded.valid, config, device)
    write_bytes(folder / EFFICIENCY, to_json(measured))
    test = None
    notes = []
    if loaded.split.has("test"):
        (test_part,) = task_parts(loaded.split.released(), ["test"], loaded.task, config)
        if len(test_part):
            test = _measure(loaded, "test", test_part, device, folder, floor)
        else:
            notes.append(f"no segment of test has a target for {loaded.task.name}")
    else:
        notes.append("the split has no test part: the figures are of valid, which also chose the checkpoint")
    if config.train.sampling != "shuffle":
        notes.append(
            f"training drew segments with replacement ({config.train.sampling} sampling): an epoch shows some more "
            "than once and some not at all"
        )
    info = loaded.split.info
    if info.leakage.videos_in_several_parts:
        notes.append(f"{info.leakage.videos_in_several_parts} videos are in several parts: the figures flatter")
    metric = PRIMARY[loaded.task.kind][0]
    return RunReport(
        created_by=f"mosei-align {__version__}",
        task=loaded.task.name,
        model=config.model,
        dataset=origin.dataset,
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
        environment=environment(config, ranks),
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
    loaded: Loaded, name: str, part: TaskPart, device: torch.device, folder: Path, floor: LinearFloor | None
) -> PartReport:
    kind, config = loaded.task.kind, loaded.config
    network, _ = checkpoints.load(folder / BEST)
    data = device_data(part, config.train.max_steps, device)
    with Arithmetic.of(config.train, device).matmuls():  # as in training, where the checkpoint was chosen
        scores, diagnostics = predict(network.to(device), data, kind, latent=True)
    _write_predictions(folder / f"predictions-{name}.parquet", part, scores)
    if diagnostics["latent"] is not None:
        _write_latents(folder / f"latent-{name}.parquet", part, diagnostics["latent"])

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
    """One row a segment: ids, the group that the bootstrap draws, target, and the score of every class."""
    columns: dict[str, Any] = {
        "segment_id": part.data.segment_id,
        "video_id": part.data.video_id,
        "group": part.data.group,
    }
    targets, values = np.atleast_2d(part.targets.T), np.atleast_2d(scores.T)
    if part.targets.ndim == 2:
        columns |= {f"true_{name}": targets[k] for k, name in enumerate(part.classes)}
    else:
        columns["true"] = part.targets
    columns |= {f"score_{name}": values[k] for k, name in enumerate(part.classes)}
    with new_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _write_latents(path: Path, part: TaskPart, latent_ND: Any) -> None:
    """One row a segment: its id and the vector that it was classified by."""
    latent = pa.FixedSizeListArray.from_arrays(pa.array(latent_ND.ravel()), latent_ND.shape[1])
    with new_file(path) as temporary:
        table = pa.table({"segment_id": part.data.segment_id, "latent": latent})
        pq.write_table(table, temporary, compression="zstd")
