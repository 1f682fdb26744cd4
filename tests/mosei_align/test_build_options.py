"""Options as people type them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from mosei_align.options import build_settings, choose_engine, parse_coverage, parse_part, parse_steps
from mosei_schemas.errors import ConfigError
from mosei_schemas.manifest import BuildSettings

OneLine = Callable[..., str]


def test_the_defaults_are_those_of_the_settings() -> None:
    assert build_settings() == BuildSettings()


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("1", {"min_coverage_steps": 1}),
        ("12", {"min_coverage_steps": 12}),
        ("50%", {"min_coverage_share": 0.5}),
        ("33.5%", {"min_coverage_share": 0.335}),
        ("0.5", {"min_coverage_share": 0.5}),
        ("1.0", {"min_coverage_share": 1.0}),
        ("100%", {"min_coverage_share": 1.0}),
    ],
)
def test_coverage_is_a_number_or_a_share(text: str, chosen: dict[str, float]) -> None:
    assert parse_coverage(text) == pytest.approx(chosen)
    assert build_settings(min_coverage=text) == BuildSettings(**chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "0%", "101%", "1.5", "0.0", "half", "nan%", "inf%", "5 steps", "%", "nan", "."]
)
def test_impossible_coverage(text: str, one_line: OneLine) -> None:
    told = one_line(lambda: build_settings(min_coverage=text), ConfigError)
    assert f"--min-coverage: {text!r} is not possible" in told


def test_impossible_choices_name_the_option_and_the_possible_values(one_line: OneLine) -> None:
    told = one_line(lambda: build_settings(policy="strickt"), ConfigError)
    assert "--policy: 'strickt' is not possible" in told
    assert "'strict'" in told
    assert "'masked'" in told
    told = one_line(lambda: build_settings(nonfinite="drop"), ConfigError)
    assert "--nonfinite: 'drop' is not possible" in told
    assert all(f"'{mode}'" in told for mode in ("frame", "column", "zero"))


def test_choices_arrive() -> None:
    chosen = build_settings(policy="masked", min_coverage="3", nonfinite="column")
    assert (chosen.policy, chosen.min_coverage_steps, chosen.nonfinite) == ("masked", 3, "column")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("words", {"steps": "words"}),
        ("uniform:0.25", {"steps": "uniform", "uniform_bin_s": 0.25}),
        ("uniform:0.001", {"steps": "uniform", "uniform_bin_s": 0.001}),
        ("uniform:2", {"steps": "uniform", "uniform_bin_s": 2.0}),
        ("uniform:1e-1", {"steps": "uniform", "uniform_bin_s": 0.1}),
        ("frames:text", {"steps": "frames", "frames_of": "text"}),
        ("frames:audio", {"steps": "frames", "frames_of": "audio"}),
        ("frames:video", {"steps": "frames", "frames_of": "video"}),
    ],
)
@pytest.mark.parametrize("policy", ["strict", "masked"])
def test_steps_are_words_bins_or_frames(text: str, chosen: dict[str, object], policy: str) -> None:
    assert parse_steps(text) == chosen
    assert build_settings(policy=policy, steps=text) == BuildSettings.model_validate({"policy": policy, **chosen})


@pytest.mark.parametrize(
    "text",
    [
        *("", "word", "words:", "words:3", "uniform", "uniform:", "uniform:0", "uniform:-1", "uniform:0.0009"),
        *("uniform:nan", "uniform:inf", "uniform:86401", "uniform:1s", "frames", "frames:", "frames:labels"),
        *("frames:words", "frames:Text", "rows", "frames:video:2", "uniform:0.1:2", " words"),
    ],
)
def test_impossible_steps(text: str, one_line: OneLine) -> None:
    told = one_line(lambda: build_settings(steps=text), ConfigError)
    assert told == (
        f"--steps: {text!r} is not possible; give words, uniform:SECONDS (at least 0.001) or frames:MODALITY "
        "(text, audio, video)"
    )


@pytest.mark.parametrize(("text", "part"), [("1/1", (1, 1)), ("3/8", (3, 8)), ("8/8", (8, 8)), ("03/010", (3, 10))])
def test_parts(text: str, part: tuple[int, int]) -> None:
    assert parse_part(text) == part


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "1", "1/", "/1", "0/1", "2/1", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", " 1/2", "1/ 2"),
        *("\u0661/\u0662", "\u00b9/2", f"1/{'9' * 5000}"),
    ],
)
def test_impossible_parts(text: str, one_line: OneLine) -> None:
    assert f"--shard: {text!r} is not I/N with 1 <= I <= N" in one_line(lambda: parse_part(text), ConfigError)


def test_the_policies_own_settings() -> None:
    paper = build_settings(policy="paper")
    assert (paper.steps, paper.first_rows, paper.nonfinite) == ("rows", 50, "zero")
    assert build_settings(policy="paper", nonfinite="frame").nonfinite == "frame"
    mmsdk = build_settings(policy="mmsdk")
    assert (mmsdk.steps, mmsdk.nonfinite, mmsdk.min_coverage_steps) == ("words", "keep", 1)
    assert build_settings(file_format="arrow").file_format == "arrow"


@pytest.mark.parametrize(
    ("policy", "option", "value"),
    [
        ("mmsdk", "min_coverage", "2"),
        ("mmsdk", "nonfinite", "frame"),
        ("mmsdk", "nonfinite", "keep"),
        ("mmsdk", "steps", "words"),
        ("paper", "min_coverage", "50%"),
        ("paper", "steps", "uniform:0.25"),
    ],
)
def test_options_that_mean_nothing_to_a_policy(policy: str, option: str, value: str, one_line: OneLine) -> None:
    chosen = {option: value}
    told = one_line(lambda: build_settings(policy=policy, **chosen), ConfigError)  # type: ignore[arg-type]
    flag = f"--{option.replace('_', '-')}"
    assert told == f"{flag}: means nothing to policy {policy}; that policy has a rule of its own; omit {flag}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"file_format": "csv"}, "--format: 'csv' is not possible; input should be 'parquet' or 'arrow'"),
        ({"file_format": ""}, "--format: '' is not possible"),
        ({"nonfinite": ""}, "--nonfinite: '' is not possible"),
        ({"policy": ""}, "--policy: '' is not possible"),
        ({"nonfinite": "keep"}, "policy mmsdk keeps nan and infinities, and only that policy"),
        ({"policy": "paper", "nonfinite": "keep"}, "policy mmsdk keeps nan and infinities, and only that policy"),
    ],
)
def test_other_impossible_values(options: dict[str, str], told: str, one_line: OneLine) -> None:
    assert told in one_line(lambda: build_settings(**options), ConfigError)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"steps": "uniform"}, "uniform steps need their width"),
        ({"uniform_bin_s": 0.25}, "uniform steps need their width"),
        ({"steps": "uniform", "uniform_bin_s": 0.0}, "greater than 0"),
        ({"steps": "frames"}, "steps of frames need a modality"),
        ({"frames_of": "video"}, "steps of frames need a modality"),
        ({"steps": "frames", "frames_of": "words"}, "'text', 'audio' or 'video'"),
        ({"steps": "frames", "frames_of": "video", "uniform_bin_s": 0.1}, "uniform steps need their width"),
        ({"policy": "paper"}, "policy paper takes the first rows"),
        ({"policy": "paper", "steps": "rows"}, "policy paper takes the first rows"),
        ({"policy": "paper", "first_rows": 50}, "policy paper takes the first rows"),
        ({"steps": "rows"}, "policy paper takes the first rows"),
        ({"steps": "rows", "first_rows": 50}, "policy paper takes the first rows"),
        ({"first_rows": 50}, "policy paper takes the first rows"),
        ({"policy": "paper", "steps": "rows", "first_rows": 0}, "greater than or equal to 1"),
        ({"policy": "mmsdk"}, "policy mmsdk keeps NaN"),
        ({"nonfinite": "keep"}, "policy mmsdk keeps NaN"),
        (
            {"policy": "mmsdk", "nonfinite": "keep", "steps": "uniform", "uniform_bin_s": 1},
            "policy mmsdk aligns to words",
        ),
        ({"file_format": "csv"}, "'parquet' or 'arrow'"),
    ],
)
def test_settings_that_contradict_each_other(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BuildSettings.model_validate(wrong)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "slurm"}, "--engine: 'slurm' is not possible; give local or dask"),
        ({"scheduler": "tcp://x:1"}, "--scheduler: means nothing to the local engine; add --engine dask"),
        ({"slurm": Path("s.toml")}, "--slurm: means nothing to the local engine; add --engine dask"),
    ],
)
def test_engines_that_are_none(options: dict[str, object], told: str, one_line: OneLine) -> None:
    given: dict[str, object] = {
        "name": "local",
        "jobs": None,
        "scheduler": None,
        "slurm": None,
        "shared": (),
        **options,
    }
    assert one_line(lambda: choose_engine(**given), ConfigError) == told  # type: ignore[arg-type]


def test_the_local_engine_is_the_builds_own() -> None:
    assert choose_engine("local", jobs=3, scheduler=None, slurm=None, shared=()) is None
