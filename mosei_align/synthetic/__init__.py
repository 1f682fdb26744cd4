"""Synthetic corpora with planted defects, signal and truth, in the layout and at the scale of CMU-MOSEI."""

from mosei_align.synthetic.corpus import CorpusSummary, write_corpus
from mosei_align.synthetic.recipe import SCALES, DefectRates, Recipe, scaled

__all__ = ["SCALES", "CorpusSummary", "DefectRates", "Recipe", "scaled", "write_corpus"]
