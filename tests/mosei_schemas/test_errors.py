"""Errors are one line that names the place and the remedy, and they cross process borders."""

import copy
import pickle
from pathlib import Path

import pytest

from mosei_schemas import ConfigError, DatasetError, InputError, MoseiError, OutputError

KINDS = [MoseiError, InputError, ConfigError, OutputError, DatasetError]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("is odd"), "is odd"),
        (InputError("is odd", path=Path("a") / "b.csd"), "a/b.csd: is odd"),
        (InputError("is odd", ident="v1"), "v1: is odd"),
        (InputError("is odd", path="b.csd", ident="v1", remedy="fix it"), "b.csd: v1: is odd; fix it"),
        (InputError("is odd", remedy="fix it"), "is odd; fix it"),
    ],
)
def test_the_line_is_place_problem_remedy(error: MoseiError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("odd", ["a\nb", "a\r\nb", "\x1b[31mred", "a\x00b", "a\u2028b", "a\u202eb", "tab\there"])
def test_whatever_goes_in_one_printable_line_comes_out(odd: str) -> None:
    error = InputError(odd, path=Path("dir") / odd, ident=odd, remedy=odd)
    assert str(error).isprintable()
    assert len(str(error).splitlines()) == 1
    assert (error.problem, error.ident, error.remedy) == (odd, odd, odd)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(kind: type[MoseiError], protocol: int) -> None:
    error = kind("is odd", path=Path("x.csd"), ident="v\n1", remedy="fix it")
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert (twin.problem, twin.path, twin.ident, twin.remedy) == ("is odd", Path("x.csd"), "v\n1", "fix it")


def test_bare_errors_survive_pickling() -> None:
    twin = pickle.loads(pickle.dumps(ConfigError("is odd")))
    assert (str(twin), twin.path, twin.ident, twin.remedy) == ("is odd", None, None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_value_error_of_ours(kind: type[MoseiError]) -> None:
    assert issubclass(kind, MoseiError)
    assert issubclass(kind, ValueError)


def test_the_kinds_can_be_told_apart() -> None:
    for kind in KINDS[1:]:
        assert [other for other in KINDS[1:] if issubclass(kind, other)] == [kind]
