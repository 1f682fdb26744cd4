"""mmsdk's semantics, bit for bit, without mmsdk.

`align`, `average`, `impute`, `hard_unify`, `revert` and `get_tensors` are mmsdk's stages as functions that change
nothing and say what they lose; `RecipeFiles` runs mmsdk's MOSEI recipe a video at a time; `as_folder` takes mmsdk's
objects in; `compare` shows where a result differs from mmsdk's own.
"""

from mosei_align.compat_mmsdk.align import align
from mosei_align.compat_mmsdk.collapse import average
from mosei_align.compat_mmsdk.compare import Difference, compare, read_deployed
from mosei_align.compat_mmsdk.impute import impute
from mosei_align.compat_mmsdk.objects import as_folder
from mosei_align.compat_mmsdk.purge import Purge, plan_purge, surviving_sequences
from mosei_align.compat_mmsdk.reading import read_sequences
from mosei_align.compat_mmsdk.recipe import RecipeVideo, words_then_labels
from mosei_align.compat_mmsdk.recipe_files import RecipeFiles
from mosei_align.compat_mmsdk.revert import revert
from mosei_align.compat_mmsdk.sequences import Collapse, Entries, Entry, Loss, Sequences, Stage, StageLoss
from mosei_align.compat_mmsdk.stored import read_dataset
from mosei_align.compat_mmsdk.tensors import Tensors, get_tensors
from mosei_align.compat_mmsdk.unify import hard_unify

__all__ = [
    "Collapse",
    "Difference",
    "Entries",
    "Entry",
    "Loss",
    "Purge",
    "RecipeFiles",
    "RecipeVideo",
    "Sequences",
    "Stage",
    "StageLoss",
    "Tensors",
    "align",
    "as_folder",
    "average",
    "compare",
    "get_tensors",
    "hard_unify",
    "impute",
    "plan_purge",
    "read_dataset",
    "read_deployed",
    "read_sequences",
    "revert",
    "surviving_sequences",
    "words_then_labels",
]
