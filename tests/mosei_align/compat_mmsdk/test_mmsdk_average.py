"""The mean, in every bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosei_align.compat_mmsdk import average
from mosei_align.compat_mmsdk.collapse import averaged_alone

NONE = np.empty((0, 2))


def drawn(seed: int, rows: int, columns: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, columns)) * 10.0 ** random.integers(-6, 6, (rows, columns))
    values[random.random(values.shape) < 0.05] = -0.0
    values[random.random(values.shape) < 0.01] = np.nan
    return values.astype(kind)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.sampled_from([1, 2, 3, 7, 35, 74, 300]),
    st.sampled_from(["f4", "f8"]),
)
def test_it_is_numpys_average_and_the_sum_row_by_row(slow, seed: int, rows: int, columns: int, kind: str) -> None:
    values = drawn(seed, rows + 9, columns, kind)
    for part in (values[:rows], values[9:], values[4 : 4 + rows]):
        made = average(NONE, part)
        assert made.dtype == kind
        assert made.tobytes() == np.average(part.copy(), axis=0).tobytes()
        assert made.tobytes() == slow.mean(part).tobytes()
    alone = averaged_alone(values)
    assert alone is not None
    assert alone.tobytes() == b"".join(np.average(row[None], axis=0).tobytes() for row in values)


@pytest.mark.parametrize("kind", ["f2", "i4", "u1"])
def test_other_numbers_go_to_numpy(kind: str) -> None:
    values = (np.arange(12).reshape(4, 3) % 5).astype(kind)
    made = average(NONE, values)
    assert (made.dtype, made.tobytes()) == (np.average(values, axis=0).dtype, np.average(values, axis=0).tobytes())


def test_what_is_not_finite_goes_through() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, np.inf, 3e38], [1, 1, 1, -np.inf, 3e38]], np.float32)
    with np.errstate(all="ignore"):
        made = average(NONE, values)
    assert np.isnan(made[[0, 3]]).all()
    assert made[[1, 2, 4]].tolist() == [np.inf, -np.inf, np.inf]


def test_a_negative_zero_becomes_a_positive_one() -> None:
    assert not np.signbit(average(NONE, np.full((1, 3), -0.0, np.float32))).any()


def test_strings_stay_as_they_are() -> None:
    words = np.array([[b"sp"], [b"yes"]])
    assert average(NONE, words) is words
