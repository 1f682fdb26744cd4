"""mmsdk's `impute`: zeros, in float64, for the keys that a sequence lacks."""

from __future__ import annotations

import numpy as np

from mosei_align.compat_mmsdk.sequences import Entry, Sequences, Stage
from mosei_schemas.errors import InputError


def impute(sequences: Sequences, reference: str) -> Stage:
    """Give every sequence each key of the reference; what it lacks is zeros, behind its own keys.

    The zeros have the reference's intervals and as many columns as the sequence's first entry, and are float64
    whatever the sequence is. Nothing is lost, and nothing tells an imputed row from a measured one: mmsdk has no mask.

    Raises:
        InputError: mmsdk would crash: there is no such sequence, or another one has no entry to take the width from.
    """
    if reference not in sequences:
        known = ", ".join(repr(name) for name in sequences)
        raise InputError(f"no sequence to impute from; there are {known}", ident=reference, remedy="name one of them")
    imputed: Sequences = {}
    for name, entries in sequences.items():
        if name == reference:
            imputed[name] = dict(entries)
            continue
        first = next(iter(entries.values()), None)
        if first is None:
            raise InputError("has no entry, so mmsdk cannot impute it", ident=name, remedy="leave the sequence out")
        width = first.features.shape[1:]
        missing = {
            key: Entry(np.zeros((len(entry.intervals), *width)), entry.intervals)
            for key, entry in sequences[reference].items()
            if key not in entries
        }
        imputed[name] = {**entries, **missing}
    return Stage(imputed)
