"""`mosei-align split`: assign, fit the normalisation, write parts, tell what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLES = (
    "Examples:\n\nmosei-align split --speaker-disjoint\n\n"
    "mosei-align split parquet/ --speaker-disjoint --groups speakers.csv --name by-speaker\n\n"
    "mosei-align split parquet/ --folds folds.json\n\n"
    "mosei-align split parquet/ --speaker-disjoint --k-folds 5 --repeats 3\n\n"
    "mosei-align split parquet/ --stratified --task sentiment7 --bins sdk\n\n"
    "mosei-align split parquet/ --speaker-disjoint --normalise robust --write"
)


def split(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory.")] = Path("parquet"),
    speaker_disjoint: Annotated[
        bool, typer.Option("--speaker-disjoint", help="Whole speakers (else whole videos), classes in proportion.")
    ] = False,
    stratified: Annotated[bool, typer.Option("--stratified", help="Single segments, classes in proportion.")] = False,
    random: Annotated[bool, typer.Option("--random", help="Single segments, by lot. Leaks.")] = False,
    folds: Annotated[
        Path | None,
        typer.Option(
            "--folds",
            help='JSON file of video ids, {"train": [...], "valid": [...], "test": [...]}, or mmsdk if installed.',
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups", help="CSV of video id, speaker id, for --speaker-disjoint and --normalise-per speaker."
        ),
    ] = None,
    ratios: Annotated[str, typer.Option("--ratios", help="Shares of train, valid and test.")] = "0.7,0.15,0.15",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same split.", min=0)] = 42,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the split. Default: the protocol's."),
    ] = None,
    k_folds: Annotated[
        int | None,
        typer.Option("--k-folds", help="Make NAME-k1, NAME-k2, ...: every segment is in one test part.", min=2),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Make NAME-r1, NAME-r2, ... with successive seeds.", min=1)
    ] = 1,
    test_from: Annotated[
        str | None, typer.Option("--test-from", help="Keep this split's test part; assign train and valid anew.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="The task whose classes are kept in proportion; recorded, and what 'affect train' takes by default. "
            "emotion6, emotion-multilabel, sentiment, sentiment7 or sentiment2. Default: emotion6, or sentiment where "
            "the dataset has no emotions.",
        ),
    ] = None,
    no_emotion: Annotated[
        str, typer.Option("--no-emotion", help="An all-zero row: drop, neutral (a seventh class), or first (happy).")
    ] = "drop",
    ties: Annotated[str, typer.Option("--ties", help="Several strongest emotions: first of them, or drop.")] = "first",
    clip_intensity: Annotated[
        bool,
        typer.Option("--clip-intensity", help="Clip emotions to 0 ... 3 and sentiment to -3 ... 3 first; counted."),
    ] = False,
    bins: Annotated[
        str, typer.Option("--bins", help="sentiment7: halves to even, or sdk: away from zero, as the SDK does.")
    ] = "even",
    sentiment2: Annotated[
        str, typer.Option("--sentiment2", help="non0: drop exact zeros; has0: they are not negative.")
    ] = "non0",
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="zscore; robust (median and 1.4826 MAD); minmax (train's minimum to maximum becomes 0 to 1); none.",
        ),
    ] = "zscore",
    normalise_per: Annotated[
        str,
        typer.Option(
            "--normalise-per",
            help="split, or speaker: segments of a speaker who has segments in train are scaled by statistics of "
            "these, all others by those of all of train. Nothing is ever fitted on valid or test.",
        ),
    ] = "split",
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write train.parquet, validation.parquet and test.parquet with normalised features, too."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Assign segments to train, valid and test, fit the normalisation on train, check for leakage."""
    from mosei_align.split import split as run_split
    from mosei_align.split import split_series
    from mosei_align.splits.options import split_method, split_protocol, split_view
    from mosei_align.splits.ratios import parse_ratios
    from mosei_cli import show, show_split

    method, per = split_method(normalise, normalise_per)
    protocol = split_protocol(
        speaker_disjoint=speaker_disjoint,
        stratified=stratified,
        random=random,
        folds=folds,
        groups=groups,
        by_speaker=per == "speaker",
    )
    common: dict[str, Any] = {
        "groups": groups,
        "ratios": parse_ratios(ratios),
        "seed": seed,
        "name": name,
        "test_from": test_from,
        "view": split_view(
            dataset,
            task,
            no_emotion=no_emotion,
            ties=ties,
            clip_intensity=clip_intensity,
            bins=bins,
            sentiment2=sentiment2,
        ),
        "normalise": method,
        "normalise_per": per,
        "write": write,
        "overwrite": overwrite,
        "warn": show.warning,
    }
    if k_folds is None and repeats == 1:
        show_split.split(dataset, run_split(dataset, protocol, folds=folds, **common))
    else:
        show_split.split_series(dataset, split_series(dataset, protocol, k=k_folds, repeats=repeats, **common))
