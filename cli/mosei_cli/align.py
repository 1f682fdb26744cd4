"""`mosei-align`: .csd files -> an aligned, accounted-for dataset. Every command calls one library function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosei_cli import console
from mosei_cli.export import EXAMPLES as EXPORT_EXAMPLES
from mosei_cli.export import export
from mosei_cli.extract import EXAMPLES as EXTRACT_EXAMPLES
from mosei_cli.extract import extract
from mosei_cli.imports import EXAMPLES as IMPORT_EXAMPLES
from mosei_cli.imports import import_
from mosei_cli.split import EXAMPLES as SPLIT_EXAMPLES
from mosei_cli.split import split
from mosei_cli.verify import verify

app = typer.Typer(
    name="mosei-align",
    help="Turn CMU-MOSEI (or MOSI) .csd files into an aligned dataset with an account of every labelled segment.\n\n"
    "The usual way: [bold]validate[/] the files, [bold]build[/] the dataset, [bold]split[/] it, then train with "
    "[bold]affect train[/]. No files at hand? [bold]sample[/] writes a synthetic corpus.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Folder = Annotated[Path, typer.Argument(help="Folder of .csd files.", show_default=False)]
Modalities = Annotated[
    Path | None,
    typer.Option("--modalities", help="TOML file that says which root group is which modality.", show_default=False),
]
Roots = Annotated[
    list[str] | None,
    typer.Option("--root", help="One role, e.g. video=OpenFace_2; may be repeated.", metavar="ROLE=NAME"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            is_eager=True,
            callback=console.version_option("mosei-align"),
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command(
    epilog="Examples:\n\nmosei-align sample csd/ --videos 120 --seed 1\n\nmosei-align sample csd/ --scale mosei"
)
def sample(
    out: Annotated[Path, typer.Argument(help="Folder to write; new or empty.", show_default=False)],
    videos: Annotated[
        int | None, typer.Option(help="Number of videos. Default: 40.", min=1, show_default=False)
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale", help="A known size instead: mosei (3,837 videos, 23,000 segments, 17 GB).", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.", min=0)] = 0,
    clean: Annotated[bool, typer.Option("--clean", help="Without the defects of real files.")] = False,
    gzip: Annotated[
        bool, typer.Option("--gzip", help="Chunked and compressed with gzip-9, as mmsdk writes files. Slow.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            help="Worker processes; default: one a core, one in all for a small corpus.",
            min=1,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a synthetic corpus with MOSEI's schema, skew and defects, and the truth about it."""
    from mosei_align.synthetic.corpus import write_corpus
    from mosei_align.synthetic.recipe import scaled
    from mosei_cli import show

    recipe = scaled(scale, videos, seed=seed, clean=clean)
    with console.progress_bar("Writing", "videos") as advance:
        summary = write_corpus(out, recipe, lambda done: advance(done, recipe.videos), jobs=jobs, gzip=gzip)
    show.corpus(summary)


@app.command(epilog="Example: mosei-align validate csd/ --json > problems.json")
def validate(
    folder: Folder,
    modalities: Modalities = None,
    root: Roots = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Report every problem of every file in one table; exit code 1 if one of them is an error."""
    from mosei_align.sources.modalities import load_settings, parse_roots
    from mosei_align.validate import to_json
    from mosei_align.validate import validate as check
    from mosei_cli import show

    with console.progress_bar("Checking", "videos") as advance:
        findings = check(
            folder, load_settings(modalities, parse_roots(root)), lambda _file, done, total: advance(done, total)
        )
    if as_json:
        typer.echo(to_json(findings))
    else:
        show.findings(folder, findings)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(console.EXIT_ERROR)


@app.command(epilog="Example: mosei-align embed csd/words.csd glove.840B.300d.txt.gz --out csd/vectors.csd")
def embed(
    words: Annotated[Path, typer.Argument(help=".csd file of timestamped words.", show_default=False)],
    vectors: Annotated[Path, typer.Argument(help="Table in GloVe's text format, may be gzipped.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The .csd file to write.", show_default=False)],
    root: Annotated[str, typer.Option("--root", help="Name of the new sequence.")] = "glove_vectors",
    pause: Annotated[str, typer.Option("--pause", help="Token that marks a pause.")] = "sp",
    unknown: Annotated[
        str,
        typer.Option(
            "--unknown", help="Words the table lacks: nan (kept as steps without text) or zero (like pauses)."
        ),
    ] = "nan",
    overwrite: Overwrite = False,
) -> None:
    """Turn timestamped words and a table of word vectors into a word-vector sequence."""
    from mosei_align.embed import embed as run_embed
    from mosei_cli import show

    with console.progress_bar("Embedding", "videos") as advance:
        result = run_embed(
            words, vectors, out, root=root, pause_token=pause, unknown=unknown, overwrite=overwrite, progress=advance
        )
    show.embedding(out, result)


@app.command(
    epilog="Examples:\n\nmosei-align build --policy strict\n\n"
    "mosei-align build --csd csd/ --out masked/ --policy masked --min-coverage 50%\n\n"
    "mosei-align build --steps uniform:0.25 --format arrow\n\n"
    "mosei-align build --engine dask --slurm cluster.toml\n\n"
    "mosei-align build --shard 3/8   (one of eight runs anywhere, then: mosei-align merge)"
)
def build(
    csd: Annotated[Path, typer.Option("--csd", help="Folder of .csd files.")] = Path("csd"),
    out: Annotated[Path, typer.Option("--out", help="Dataset directory to write.")] = Path("parquet"),
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            help="strict: every modality must be there; masked: any one of them; mmsdk: what mmsdk's own recipe makes, "
            "bit for bit; paper: the Affect-Diff paper's sample rule, one sample a video.",
        ),
    ] = "strict",
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps",
            help="words (default), uniform:SECONDS, or frames:MODALITY, e.g. uniform:0.25 or frames:video.",
            show_default=False,
        ),
    ] = None,
    min_coverage: Annotated[
        str | None,
        typer.Option(
            "--min-coverage",
            help="Valid steps a modality needs: a number (3) or a share (50%). Default: 1.",
            show_default=False,
        ),
    ] = None,
    nonfinite: Annotated[
        str | None,
        typer.Option(
            "--nonfinite",
            help="What a NaN or infinity costs: its frame (default), its column (of the mean), or zero (is put there).",
            show_default=False,
        ),
    ] = None,
    file_format: Annotated[
        str,
        typer.Option("--format", help="parquet (small), or arrow (memory-mapped, for datasets larger than memory)."),
    ] = "parquet",
    videos_per_shard: Annotated[
        int | None,
        typer.Option(
            "--videos-per-shard",
            help="Videos that are made together (default: 64): fewer take less memory, and an interruption costs less.",
            min=1,
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help="Worker processes; default: one a core.", min=1, show_default=False),
    ] = None,
    speakers: Annotated[
        Path | None,
        typer.Option("--speakers", help="CSV of video id, speaker id. Default: speakers.csv beside the files."),
    ] = None,
    modalities: Modalities = None,
    root: Roots = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted build: finished shards are not made again.")
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", help="local: processes of this machine; dask: see --scheduler and --slurm.")
    ] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a dask scheduler, e.g. tcp://node7:8786.", show_default=False),
    ] = None,
    slurm: Annotated[
        Path | None,
        typer.Option("--slurm", help="TOML file with a table 'slurm': start dask workers as jobs.", show_default=False),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            help="I/N: make only every N-th shard; several such runs, then 'mosei-align merge'.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Align the files into a dataset, and account for every labelled segment."""
    if engine == "local":
        from mosei_align.engines.local import available_cores, start_server

        if (jobs or available_cores()) > 1:
            start_server(["mosei_align.building.shard"])  # It imports while this process does.
    from mosei_align.build import build as run_build
    from mosei_align.build import build_part
    from mosei_align.options import build_settings, choose_engine, parse_part, refuse_with_shard
    from mosei_align.sources.modalities import load_settings, parse_roots
    from mosei_cli import show

    settings = build_settings(
        policy=policy,
        min_coverage=min_coverage,
        nonfinite=nonfinite,
        steps=steps,
        file_format=file_format,
        videos_per_shard=videos_per_shard,
    )
    sources = load_settings(modalities, parse_roots(root))
    part = None if shard is None else parse_part(shard)
    if part is not None:
        refuse_with_shard(engine=engine, overwrite=overwrite)
    chosen = choose_engine(engine, jobs=jobs, scheduler=scheduler, slurm=slurm, shared=(csd, out.absolute().parent))
    with console.progress_bar("Aligning", "videos") as advance:
        if part is not None:
            show.part(
                build_part(
                    csd, out, settings, part, sources=sources, speakers_file=speakers, jobs=jobs, progress=advance
                )
            )
            return
        result = run_build(
            csd,
            out,
            settings,
            sources=sources,
            speakers_file=speakers,
            jobs=jobs,
            engine=chosen,
            overwrite=overwrite,
            resume=resume,
            progress=advance,
        )
    show.build(result)


@app.command(epilog="Example: mosei-align merge --out parquet/")
def merge(
    parts: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of finished shards. Default: the one beside --out.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Dataset directory to write.")] = Path("parquet"),
    overwrite: Overwrite = False,
) -> None:
    """Put the shards of 'build --shard' runs together into a dataset."""
    from mosei_align.merge import merge as run_merge
    from mosei_cli import show

    show.build(run_merge(out, parts or (), overwrite=overwrite))


app.command(epilog=SPLIT_EXAMPLES)(split)


app.command(
    epilog="Examples:\n\nmosei-align verify parquet/\n\nmosei-align verify parquet/ --split speaker-disjoint\n\n"
    "mosei-align verify parquet/ --json > checks.json"
)(verify)


app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=EXTRACT_EXAMPLES)(extract)
app.command("import", epilog=IMPORT_EXAMPLES)(import_)


@app.command(
    epilog="Examples:\n\nmosei-align report parquet/\n\nmosei-align report parquet/ --out report.html --max-steps 100"
)
def report(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory.")] = Path("parquet"),
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page to write. Default: beside the dataset, parquet/ -> parquet-report.html."),
    ] = None,
    max_steps: Annotated[int, typer.Option("--max-steps", help="The length limit whose cost is told.", min=1)] = 50,
    overwrite: Overwrite = False,
) -> None:
    """Tell the account of a dataset in one HTML page and in short here; exit code 1 if it contradicts itself."""
    from mosei_align.reports.write import write_report
    from mosei_cli import show_report

    path, facts = write_report(dataset, out, max_steps=max_steps, overwrite=overwrite)
    show_report.report(path, facts)
    if facts.problems:
        raise typer.Exit(console.EXIT_ERROR)


# No short options here, and unknown ones are left alone: a video id may begin with a dash.
@app.command(
    epilog="Examples:\n\nmosei-align inspect parquet/ '25522[0]' --split speaker-disjoint\n\n"
    "mosei-align inspect parquet/ 25522",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
def inspect(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory.", show_default=False)],
    segment: Annotated[
        str, typer.Argument(help="Id of a segment, e.g. 'v[3]', or of a video, for a list.", show_default=False)
    ],
    steps: Annotated[int, typer.Option("--steps", help="How many steps to show.", min=0)] = 20,
    split: Annotated[
        str | None, typer.Option("--split", help="Show the vectors as this split normalises them, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every step, instead of tables.")] = False,
) -> None:
    """Show one labelled segment: its fate, labels, parts, and every modality step by step."""
    from mosei_align.reports.inspect import inspect as look_at
    from mosei_align.reports.look import to_json
    from mosei_cli import show_report

    look = look_at(dataset, segment, split=split)
    if as_json:
        typer.echo(to_json(look))
    else:
        show_report.look(look, steps)


@app.command(epilog="Example: mosei-align compare mmsdk-parquet/ deployed/")
def compare(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory of --policy mmsdk.", show_default=False)],
    deployed: Annotated[
        Path, typer.Argument(help="Folder of .csd files that mmsdk deployed after aligning.", show_default=False)
    ],
) -> None:
    """Compare a dataset of policy mmsdk with mmsdk's own aligned files, byte for byte; exit code 1 if they differ."""
    from mosei_align.compat_mmsdk import compare as differences
    from mosei_align.compat_mmsdk import read_dataset, read_deployed
    from mosei_cli import show

    ours = read_dataset(dataset)
    found = differences(ours, read_deployed(deployed))
    show.differences(ours, found)
    if found:
        raise typer.Exit(console.EXIT_ERROR)


def main() -> None:
    """Entry point of `mosei-align`."""
    console.run(app, "mosei-align")
