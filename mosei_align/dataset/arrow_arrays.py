"""Arrow arrays laid over numpy's: what `pyarrow.array` and `to_numpy` make, of values that are known to be there.

Arrow's own functions import pandas at their first call wherever it is installed: a fifth of a second in every worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def array_of(values: Sequence[Any] | npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array of strings (None: null), of flags or of numbers.

    Args:
        values: n of them; numbers that do not fit the type are the caller's mistake.
        kind: a primitive type or string.
    """
    if pa.types.is_string(kind):
        return _texts(list(values))
    if pa.types.is_boolean(kind):
        packed = np.packbits(np.asarray(values, np.bool_), bitorder="little")
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(packed)])
    plain = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(plain), [None, pa.py_buffer(plain)])


def texts_of(values: Sequence[bytes]) -> pa.Array:
    """An array of strings from what should be UTF-8; bytes that are not become U+FFFD."""
    if not b"".join(values).isascii():
        values = [value.decode("utf-8", "replace").encode() for value in values]
    return _strings(values, None)


def offsets_of(lengths: Sequence[int]) -> pa.Array:
    """(n + 1,) int32: where each of n lists begins that stand one after the other."""
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    if bounds[-1] > np.iinfo(np.int32).max:
        raise OverflowError(f"{bounds[-1]} values in the lists of one array")
    return array_of(bounds, pa.int32())


def joined(arrays: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike, *, overwrite: bool = False) -> npt.NDArray[Any]:
    """(n,) 1-D arrays one after the other, all of this type.

    There is no copy where they lie so in memory, as the features of a shard do whose segments are all kept.

    Args:
        arrays: all of the type.
        dtype: the type.
        overwrite: whether parts of one array may be moved in it, over what lies between them, instead of being copied.
    """
    arrays = [array for array in arrays if array.size]
    if not arrays:
        return np.empty(0, dtype)
    whole = arrays[0].base
    if not isinstance(whole, np.ndarray):
        return np.concatenate(arrays)
    places = _places(arrays, whole)
    if places is None:
        return np.concatenate(arrays)
    flat: npt.NDArray[Any] = whole.reshape(-1)
    begin = end = places[0]
    for place, array in zip(places, arrays, strict=True):
        if place != end:
            if not overwrite:
                return np.concatenate(arrays)
            flat[end : end + array.size] = flat[place : place + array.size]
        end += array.size
    return flat[begin:end]


def _places(arrays: Sequence[npt.NDArray[Any]], whole: npt.NDArray[Any]) -> list[int] | None:
    """Where in one array some others begin that are parts of it, in order and apart; None where they are not."""
    if whole.dtype != arrays[0].dtype or not whole.flags.c_contiguous:
        return None
    found, end, begin = [], 0, _address(whole)
    for array in arrays:
        place = (_address(array) - begin) // whole.itemsize
        if array.base is not whole or place < end or not array.flags.c_contiguous:
            return None
        found.append(place)
        end = place + array.size
    return found


def values_of(array: pa.Array) -> npt.NDArray[Any]:
    """(n,) the values of an array of numbers without nulls; no copy."""
    assert not array.null_count
    dtype = np.dtype(array.type.to_pandas_dtype())
    return np.frombuffer(array.buffers()[1] or b"", dtype, len(array), array.offset * dtype.itemsize)


def _address(array: npt.NDArray[Any]) -> int:
    place: int = array.__array_interface__["data"][0]
    return place


def _texts(values: Sequence[str | None]) -> pa.Array:
    encoded = [b"" if text is None else text.encode() for text in values]
    there = [text is not None for text in values]
    known = None if all(there) else pa.py_buffer(np.packbits(there, bitorder="little"))
    return _strings(encoded, known)


def _strings(encoded: Sequence[bytes], known: pa.Buffer | None) -> pa.Array:
    bounds = offsets_of([len(text) for text in encoded]).buffers()[1]
    return pa.Array.from_buffers(pa.string(), len(encoded), [known, bounds, pa.py_buffer(b"".join(encoded))])
