"""Options as people type them."""

from collections.abc import Callable

import pytest

from mosei_align.options import build_settings, parse_coverage
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
