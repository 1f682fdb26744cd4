"""`manifest.json`: what a dataset directory says about itself."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mosei_schemas.names import Reason
from mosei_schemas.version import FORMAT_NAME, FORMAT_VERSION, IMPORTED_VERSION

Policy = Literal["strict", "masked", "mmsdk", "paper", "imported"]
ModalityName = Literal["text", "audio", "video"]
NonFinite = Literal["frame", "column", "zero", "keep"]
StepKind = Literal["words", "uniform", "frames", "rows", "given"]
FileFormat = Literal["parquet", "arrow"]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BuildSettings(Strict):
    """The resolved configuration of a build; together with the inputs it determines every byte of the dataset."""

    policy: Policy = "strict"
    min_coverage_steps: Annotated[int, Field(ge=1)] = 1
    """A modality needs at least this many valid steps ..."""
    min_coverage_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """... and at least this share of the segment's steps."""
    nonfinite: NonFinite = "frame"
    """What a NaN or infinite value costs: its frame, its column's share of the mean, or nothing (zero-fill). `keep`
    is mmsdk's: it stays, and spoils every mean it is in."""
    steps: StepKind = "words"
    """What a step is; `rows` belongs to policies paper and imported, `given` to imported."""
    uniform_bin_s: Annotated[float, Field(gt=0)] | None = None
    """Width of the bins where `steps` is `uniform`, seconds."""
    frames_of: ModalityName | None = None
    """The modality whose frames are the steps where `steps` is `frames`."""
    first_rows: Annotated[int, Field(ge=1)] | None = None
    """How many rows of each stream a sample has under policy paper."""
    fallback_bin_s: Annotated[float, Field(gt=0)] = 0.25
    """Width of the uniform steps that a masked segment without words (or frames) gets, seconds."""
    pause_token: str = "sp"
    """The token of a word sequence that marks a pause."""
    videos_per_shard: Annotated[int, Field(ge=1)] = 64
    file_format: FileFormat = "parquet"
    """How `segments/` is stored: Parquet (small), or Arrow IPC (uncompressed, memory-mapped)."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.steps == "uniform") != (self.uniform_bin_s is not None):
            raise ValueError("uniform steps need their width, and only they")
        if (self.steps == "frames") != (self.frames_of is not None):
            raise ValueError("steps of frames need a modality, and only they")
        if (self.policy == "imported") != (self.steps == "given") and (self.policy, self.steps) != ("imported", "rows"):
            raise ValueError("policy imported has the steps of a pickle, and only that policy")
        rows = self.steps == "rows" and self.policy != "imported"
        if not (self.policy == "paper") == rows == (self.first_rows is not None):
            raise ValueError("policy paper takes the first rows of each stream, and only that policy")
        if (self.policy == "mmsdk") != (self.nonfinite == "keep"):
            raise ValueError("policy mmsdk keeps NaN and infinities, and only that policy")
        if self.policy == "imported" and self.nonfinite == "column":
            raise ValueError("policy imported averages nothing, so no column of a mean can be left out")
        if self.policy == "mmsdk" and self.steps != "words":
            raise ValueError("policy mmsdk aligns to words")
        return self


class InputFile(Strict):
    """One input sequence: enough to recognise the file again without reading all of it."""

    role: Literal["text", "audio", "video", "labels", "words", "speakers", "pickle"]
    name: str
    """The file's name, without its folder."""
    root: str
    bytes: Count
    structure_sha256: Sha256
    """SHA-256 over every id (`pickle`: every part and key) with the shapes and types of its arrays."""
    videos: Count


class ModalityInfo(Strict):
    """One modality of the dataset, and what was repaired or refused while reading it."""

    dim: Annotated[int, Field(ge=1)]
    root: str
    videos: dict[str, Count]
    """Labelled videos by `State` (`ok`, `id_missing`, `length_mismatch`, ...)."""
    dtype: str = "float32"
    """Type of the values in the input; the dataset stores float32."""
    rows: Count
    """Rows of the labelled videos in the input."""
    rows_read: Count
    """Of these, the rows read: those that a labelled segment or one of its steps touches."""
    rows_dropped_interval: Count
    """Rows whose interval is NaN, infinite or inverted, of all rows."""
    videos_sorted: Count
    """Videos whose rows were out of time order and have been sorted."""
    rows_nonfinite: Count
    """Rows with a NaN or an infinity, of those read."""
    rows_zero: Count
    """Rows of zeros only, of those read (text: pauses; video: no face; audio: counted, not refused)."""
    nonfinite_by_column: list[Count]
    values_zero_filled: Count
    """Values that `nonfinite = zero` replaced, over all rows read."""


class Counts(Strict):
    """The account: labelled = kept + dropped."""

    labelled: Count
    kept: Count
    dropped: Count
    dropped_by_reason: dict[Reason, Count]
    videos_labelled: Count
    videos_kept: Count
    steps_kept: Count
    kept_with_uniform_steps: Count


class Shard(Strict):
    """One Parquet file of the dataset."""

    name: str
    rows: Count
    sha256: Sha256


class Manifest(Strict):
    """The whole of `manifest.json`; it holds nothing that differs from run to run."""

    format: Literal["mosei-align dataset"] = FORMAT_NAME
    format_version: Literal[1, 2] = FORMAT_VERSION
    created_by: str
    settings: BuildSettings
    inputs: list[InputFile]
    modalities: dict[ModalityName, ModalityInfo]
    label_columns: list[str]
    speakers: Count
    """Distinct speaker ids in the dataset; 0 where none are known."""
    counts: Counts
    shards: list[Shard]
    ledger: Shard
    losses: Shard | None = None
    """mmsdk: every key that each stage lost, in mmsdk's own terms."""

    @model_validator(mode="after")
    def _of_its_version(self) -> Self:
        imported = self.settings.policy == "imported"
        if imported != (self.format_version == IMPORTED_VERSION):
            raise ValueError(f"datasets of policy imported, and only they, are of version {IMPORTED_VERSION}")
        if any((file.role == "pickle") != imported for file in self.inputs):
            raise ValueError("datasets of policy imported, and only they, are made from pickles")
        return self


class BuildRun(Strict):
    """`build.json`: facts of the run that made a dataset, which differ from run to run."""

    started: str
    """UTC, ISO 8601."""
    seconds: Annotated[float, Field(ge=0)]
    engine: str
    """`local`, `dask`, or `merge` of runs with `--shard`."""
    workers: Count | None
    """Worker processes; null where a scheduler had them."""
    shards_resumed: Count
    """Shards that an interrupted run had finished."""
    versions: dict[str, str]
