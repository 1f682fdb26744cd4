"""Means and standard deviations of the train part, in one pass.

Legend: S = steps, D = width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mosei_schemas.dataset import reading
from mosei_schemas.manifest import Manifest
from mosei_schemas.splits import Normalization, Scaling

_CONSTANT: Final = 1e-6
"""A column whose standard deviation is this small beside its mean is rounding noise around a constant."""


@dataclass(slots=True)
class Moments:
    """Running mean and sum of squared deviations of D columns, float64.

    Blocks are merged by Chan, Golub and LeVeque's formula (1979), which loses nothing where a plain sum of squares
    would cancel.
    """

    count: int
    mean: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, width: int) -> Moments:
        """Moments of no rows."""
        return cls(0, np.zeros(width), np.zeros(width))

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Take in (S, D) rows."""
        if not len(rows):
            return
        block = rows.astype(np.float64)
        mean = block.mean(axis=0)
        block -= mean
        squares = np.einsum("sd,sd->d", block, block)
        total = self.count + len(rows)
        delta = mean - self.mean
        self.squares += squares + delta**2 * (self.count * len(rows) / total)
        self.mean += delta * (len(rows) / total)
        self.count = total

    def scaling(self) -> Scaling:
        """The z-score these moments give; a constant column, or no row at all, gives std 1."""
        std = np.sqrt(self.squares / max(self.count, 1))
        constant = std <= _CONSTANT * np.abs(self.mean)
        constant |= std == 0
        return Scaling(
            steps=self.count,
            mean=self.mean.tolist(),
            std=np.where(constant, 1.0, std).tolist(),
            constant_columns=np.flatnonzero(constant).tolist() if self.count else [],
        )


def fit(dataset: Path, manifest: Manifest, is_train: npt.NDArray[np.bool_], clamp: float) -> Normalization:
    """Fit on the valid steps of the train segments.

    Args:
        dataset: the dataset directory.
        manifest: its manifest.
        is_train: one element a kept segment, in dataset order.
        clamp: scaled values are later clipped to +-clamp.
    """
    moments = {name: Moments.empty(info.dim) for name, info in manifest.modalities.items()}
    done = 0
    for table in _row_groups(dataset, manifest):
        chosen = table.filter(pa.array(is_train[done : done + len(table)]))
        done += len(table)
        for name, running in moments.items():
            vectors, valid = chosen.column(name).combine_chunks(), chosen.column(f"{name}_valid").combine_chunks()
            rows = vectors.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(running.mean))
            running.add(rows[valid.flatten().to_numpy(zero_copy_only=False)])
    return Normalization(clamp=clamp, modalities={name: m.scaling() for name, m in moments.items()})


def _row_groups(dataset: Path, manifest: Manifest) -> Iterator[Any]:
    columns = [column for name in manifest.modalities for column in (name, f"{name}_valid")]
    for shard in manifest.shards:
        with reading(dataset / shard.name, "build it again"), pq.ParquetFile(dataset / shard.name) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns=columns)
