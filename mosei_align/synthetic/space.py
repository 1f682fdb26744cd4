"""How large a corpus will be, and whether the disk has room for it: asked before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import numpy as np

from mosei_align.synthetic.plan import Root, interval_dtypes
from mosei_align.synthetic.randomness import video_random
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.timeline import place_segments
from mosei_schemas.errors import OutputError
from mosei_schemas.publish import unwritable

_LOOKED_AT: Final = 1_000
"""Videos whose length is looked up; those of a larger corpus are taken to be as long on average."""
_TOKENS_HZ: Final = 2.7
_TOKEN_BYTES: Final = 40
"""Its spelling and its two intervals."""
_VIDEO_BYTES: Final = 9_000
"""The names and headers in five files, the labels, and the truth."""
_CORPUS_BYTES: Final = 100_000
_FLOAT_BYTES: Final = 4
_GZIP_SHARE: Final = 0.95
"""Noise hardly becomes smaller."""
_GZIP_VIDEO_BYTES: Final = 30_000
"""The indices of the chunks."""
_MARGIN: Final = 1.03


def estimated_bytes(recipe: Recipe, *, gzip: bool = False) -> int:
    """About how many bytes the corpus takes, a few percent more rather than less."""
    rates = {Root.AUDIO: recipe.audio_rate_hz, Root.VIDEO: recipe.video_rate_hz}
    widths = {Root.AUDIO: recipe.audio_width, Root.VIDEO: recipe.video_width}
    dtypes = interval_dtypes(recipe.seed)
    per_second = _TOKENS_HZ * (_FLOAT_BYTES * recipe.text_width + _TOKEN_BYTES)
    for root, rate_hz in rates.items():
        per_second += rate_hz * (_FLOAT_BYTES * widths[root] + 2 * np.dtype(dtypes[root]).itemsize)
    looked_at = min(recipe.videos, _LOOKED_AT)
    lengths_s = [place_segments(recipe, video_random(recipe.seed, index).timeline)[1] for index in range(looked_at)]
    values = recipe.videos * per_second * float(np.mean(lengths_s)) * (_GZIP_SHARE if gzip else 1.0)
    rest = recipe.videos * (_VIDEO_BYTES + (_GZIP_VIDEO_BYTES if gzip else 0))
    return int(_MARGIN * (values + rest) + _CORPUS_BYTES)


def refuse_too_large(out: Path, needed: int) -> None:
    """Compare a size in bytes with the free space of the disk that `out` is on, or is to be on.

    Raises:
        OutputError: there is too little, or nobody can tell.
    """
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise unwritable(out, error) from error
    if needed > free:
        raise OutputError(
            f"the corpus takes about {_amount(needed)}, and {_amount(free)} are free",
            path=out,
            remedy="free some space, choose another folder, or ask for fewer videos",
        )


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
