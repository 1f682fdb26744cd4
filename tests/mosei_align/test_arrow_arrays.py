"""Arrow arrays laid over numpy's, beside what Arrow itself makes of the same values."""

import itertools
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosei_align.dataset.arrow_arrays import array_of, joined, offsets_of, texts_of, values_of

BUILD = """
import sys
from pathlib import Path
from mosei_align.build import build
from mosei_align.options import build_settings
build(Path(sys.argv[1]), Path(sys.argv[2]), build_settings(policy="masked"), jobs=1)
print("pandas" in sys.modules)
"""
KINDS = {
    pa.string(): st.none() | st.text(),
    pa.bool_(): st.booleans(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_it_is_arrows_own_array(kind: pa.DataType, data: Any) -> None:
    values = data.draw(st.lists(KINDS[kind], max_size=40))
    ours, arrows = array_of(values, kind), pa.array(values, kind)
    ours.validate(full=True)
    assert (ours.type, len(ours), ours.null_count) == (arrows.type, len(arrows), arrows.null_count)
    assert repr(ours.to_pylist()) == repr(arrows.to_pylist())


@given(st.lists(st.integers(0, 50), max_size=20))
def test_offsets(lengths: list[int]) -> None:
    assert offsets_of(lengths).to_pylist() == [sum(lengths[:k]) for k in range(len(lengths) + 1)]


def test_offsets_that_arrow_cannot_count() -> None:
    with pytest.raises(OverflowError, match="values in the lists of one array"):
        offsets_of([2**30, 2**30])


def test_values_of_a_slice() -> None:
    array = pa.array([1.5, 2.5, 3.5, 4.5])
    assert values_of(array).tolist() == array.to_pylist()
    assert values_of(array.slice(1, 2)).tolist() == [2.5, 3.5]
    assert values_of(array.slice(4)).tolist() == []


@given(data=st.data())
def test_joined_is_concatenated(data: Any) -> None:
    """Pieces of arrays of two dimensions, in order or not, with gaps or steps between their values."""
    wholes = [np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(100, 130, dtype=np.float32).reshape(10, 3)]
    cuts = sorted(data.draw(st.lists(st.integers(0, 20), min_size=2, max_size=6)))
    pieces = [wholes[0][a:b].reshape(-1) for a, b in itertools.pairwise(cuts)]
    change = data.draw(st.sampled_from(["none", "shuffle", "drop", "other", "strided", "copy"]))
    if change == "shuffle":
        pieces = data.draw(st.permutations(pieces))
    elif change == "drop":
        pieces = [piece for piece in pieces if data.draw(st.booleans())]
    elif change == "other":
        pieces.append(wholes[1][2:5].reshape(-1))
    elif change == "strided":
        pieces = [wholes[0][cuts[0] : cuts[-1], 1], *pieces]
    elif change == "copy":
        pieces = [piece.copy() for piece in pieces]
    before = [whole.copy() for whole in wholes]
    expected = [value for piece in pieces for value in piece.tolist()]
    found = joined(pieces, np.float32)
    assert found.tolist() == expected
    assert found.dtype == np.float32
    if change == "none" and found.size:
        assert np.shares_memory(found, wholes[0])
    assert all(np.array_equal(whole, old) for whole, old in zip(wholes, before, strict=True))
    found = joined(pieces, np.float32, overwrite=True)
    assert found.tolist() == expected
    if change in ("none", "drop") and found.size:
        assert np.shares_memory(found, wholes[0])


def test_gaps_are_closed_in_place() -> None:
    whole = np.arange(100_000, dtype=np.float32).reshape(-1, 10)
    pieces = [whole[a:b].reshape(-1) for a, b in ((3, 4), (5, 6000), (6001, 6002), (6003, 10_000))]
    expected = np.concatenate(pieces)
    found = joined(pieces, np.float32, overwrite=True)
    assert found.tobytes() == expected.tobytes()
    assert np.shares_memory(found, whole)


def test_bytes_are_no_whole() -> None:
    pieces = [np.frombuffer(b"abcd", np.uint8), np.frombuffer(b"ef", np.uint8)]
    assert joined(pieces, np.uint8).tobytes() == b"abcdef"


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_a_build_does_without_pandas(small_corpus: Path, tmp_path: Path) -> None:
    """Arrow imports it at its first array; in every worker that takes longer than a shard."""
    run = subprocess.run(
        [sys.executable, "-c", BUILD, str(small_corpus), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "False\n"


@given(st.lists(st.one_of(st.text().map(str.encode), st.binary(max_size=6))))
def test_texts_are_decoded_one_by_one(values: list[bytes]) -> None:
    """Bytes that are not UTF-8 are replaced within their own value; neighbours do not become one character."""
    ours = texts_of(values)
    ours.validate(full=True)
    assert ours.to_pylist() == [value.decode("utf-8", "replace") for value in values]
