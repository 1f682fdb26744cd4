"""What a build is going to do, before it does anything: the plan, and the tasks that shards are made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mosei_align.compat_mmsdk import Purge, RecipeFiles
from mosei_align.sources.corpus import SPEAKERS_FILE, Corpus, read_map
from mosei_align.sources.csd import CsdIndex
from mosei_schemas.dataset import to_json
from mosei_schemas.errors import ConfigError, InputError
from mosei_schemas.manifest import BuildSettings, Count, InputFile, Manifest, ModalityName, Strict
from mosei_schemas.names import MODALITIES
from mosei_schemas.publish import sha256
from mosei_schemas.version import __version__

Speakers = dict[str, str]


class PlannedModality(Strict):
    """One modality of the dataset."""

    dim: int
    root: str
    dtype: str


class Plan(Strict):
    """Everything that decides the bytes of a dataset; builds with one plan make the same shards.

    It lies as `plan.json` beside finished shards, so that a later run (`--resume`, `--shard`, `merge`) knows whose they
    are.
    """

    created_by: str
    settings: BuildSettings
    inputs: list[InputFile]
    modalities: dict[ModalityName, PlannedModality]
    label_columns: list[str]
    speakers: Count
    videos: Count
    shards: Count

    @property
    def sha256(self) -> str:
        """The plan's fingerprint."""
        return hashlib.sha256(to_json(self)).hexdigest()

    def made(self, manifest: Manifest) -> bool:
        """Whether a dataset is what this plan makes."""
        return (
            all(getattr(manifest, name) == getattr(self, name) for name in ("created_by", "settings", "inputs"))
            and (manifest.label_columns, manifest.speakers) == (self.label_columns, self.speakers)
            and {n: (m.dim, m.root, m.dtype) for n, m in manifest.modalities.items()}
            == {n: (m.dim, m.root, m.dtype) for n, m in self.modalities.items()}
        )


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What a worker needs to make one shard: the videos, and where in the files they are."""

    number: int
    videos: tuple[str, ...]
    labels: CsdIndex
    modalities: dict[str, CsdIndex]
    words: CsdIndex | None
    label_columns: tuple[str, ...]
    speakers: Speakers
    settings: BuildSettings
    plan_sha256: str
    pieces: Path
    purge: Purge | None
    """Policy mmsdk: what the recipe deletes across videos."""

    @property
    def label_rows(self) -> int:
        """About how many label rows its videos have: a measure of its work, and of the memory it takes."""
        return int(self.labels.entries.features.sides[:, 0].sum())

    def __str__(self) -> str:
        return f"shard {self.number} ({self.videos[0]} ... {self.videos[-1]})"


def make_plan(corpus: Corpus, settings: BuildSettings, speakers_file: Path | None) -> tuple[Plan, Speakers]:
    """The plan of a build.

    Args:
        corpus: the indexed files.
        settings: the build's configuration.
        speakers_file: CSV of video id and speaker id; None takes `speakers.csv` of the folder if it is there.

    Raises:
        ConfigError, InputError: the corpus lacks a modality that the policy needs, or the speakers cannot be read.
    """
    check_policy(corpus, settings)
    speakers, speakers_input = _speakers(corpus.folder, speakers_file)
    videos = videos_of(corpus, settings)
    plan = Plan(
        created_by=f"mosei-align {__version__}",
        settings=settings,
        inputs=[*_inputs(corpus), *speakers_input],
        modalities={
            name: PlannedModality(dim=index.columns, root=index.declared, dtype=index.dtype)
            for name, index in corpus.modalities.items()
        },
        label_columns=list(corpus.label_columns),
        speakers=len({speakers[v] for v in corpus.labels.entries if v in speakers}),
        videos=len(corpus.labels.entries),
        shards=-(-len(videos) // settings.videos_per_shard),
    )
    return plan, speakers


def make_tasks(corpus: Corpus, plan: Plan, speakers: Speakers, pieces: Path) -> list[ShardTask]:
    """One task a shard, in order; finished shards go to the folder `pieces`.

    Raises:
        InputError: policy mmsdk: mmsdk refuses a file, or crashes at it.
    """
    purge = _plan_purge(corpus) if plan.settings.policy == "mmsdk" else None
    videos = videos_of(corpus, plan.settings)
    size, digest = plan.settings.videos_per_shard, plan.sha256
    return [
        ShardTask(
            number=number,
            videos=tuple(chosen),
            labels=_only(corpus.labels, chosen),
            modalities={name: _only(index, chosen) for name, index in corpus.modalities.items()},
            words=_only(corpus.sequences["words"], chosen) if "words" in corpus.sequences else None,
            label_columns=corpus.label_columns,
            speakers={video: speakers[video] for video in chosen if video in speakers},
            settings=plan.settings,
            plan_sha256=digest,
            pieces=pieces.absolute(),
            purge=purge,
        )
        for number, chosen in enumerate(videos[k : k + size] for k in range(0, len(videos), size))
    ]


def videos_of(corpus: Corpus, settings: BuildSettings) -> list[str]:
    """The videos to go through, in order: the labelled ones; for mmsdk all, since it loses words of the others too."""
    if settings.policy != "mmsdk":
        return sorted(corpus.labels.entries)
    return sorted({video for role in ("labels", *MODALITIES) for video in corpus.sequences[role].entries})


def recipe_indexes(labels: CsdIndex, modalities: Mapping[Any, CsdIndex]) -> tuple[CsdIndex, ...]:
    """The sequences of mmsdk's recipe in its order."""
    return (*(modalities[name] for name in MODALITIES), labels)


def _plan_purge(corpus: Corpus) -> Purge:
    with RecipeFiles(*recipe_indexes(corpus.labels, corpus.modalities)) as files:
        return files.plan()


def check_policy(corpus: Corpus, settings: BuildSettings) -> None:
    """Raise ConfigError or InputError where the corpus lacks a modality that the settings need."""
    if settings.policy == "imported":
        raise ConfigError("policy imported is not for .csd files", remedy="use 'mosei-align import' on a pickle")
    missing = [name for name in MODALITIES if name not in corpus.modalities]
    others = ", ".join(repr(index.declared) for index in corpus.ignored)
    hint = f" (found but not recognised: {others}; name it with --root)" if others else ""
    if settings.policy != "masked" and missing:
        raise ConfigError(
            f"policy {settings.policy} needs text, audio and video, but there is no {' and no '.join(missing)}{hint}",
            path=corpus.folder,
            remedy="add the missing file or build with --policy masked",
        )
    if not corpus.modalities:
        raise InputError(
            f"no text, audio or video sequence beside the labels{hint}",
            path=corpus.folder,
            remedy="add one, or turn words into vectors with 'mosei-align embed'",
        )
    if settings.frames_of in missing:
        raise ConfigError(
            f"the frames of {settings.frames_of} cannot be the steps: there is no such sequence{hint}",
            path=corpus.folder,
            remedy=f"choose other --steps; there is {' and '.join(corpus.modalities)}",
        )


def _speakers(folder: Path, given: Path | None) -> tuple[Speakers, list[InputFile]]:
    path = given if given is not None else folder / SPEAKERS_FILE
    if given is None and not path.is_file():
        return {}, []
    speakers = read_map(path, "speaker")
    record = InputFile(
        role="speakers",
        name=path.name,
        root="",
        bytes=path.stat().st_size,
        structure_sha256=sha256(path),
        videos=len(speakers),
    )
    return speakers, [record]


def _only(index: CsdIndex, videos: list[str]) -> CsdIndex:
    """The part of an index that a shard needs: what is sent to a worker stays small, and is valid wherever it works."""
    return replace(index, path=index.path.absolute(), metadata={}, entries=index.entries.of_videos(videos))


def _inputs(corpus: Corpus) -> list[InputFile]:
    return [
        InputFile(
            role=role,
            name=index.path.name,
            root=index.declared,
            bytes=index.path.stat().st_size,
            structure_sha256=index.structure_sha256,
            videos=len(index.entries),
        )
        for role, index in sorted(corpus.sequences.items())
    ]
