"""The search for balanced groups: against every possibility, against its bound and against scikit-learn.

The suite takes a few seeds; the 20 that the documentation speaks of run with `MOSEI_SEEDS=20`.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from mosei_align.sources.csd import CsdFile
from mosei_align.sources.labels import read_labels
from mosei_align.splits import assign
from mosei_align.splits.assign import assign_groups
from mosei_align.splits.balance import Problem, largest_remainders, try_everything
from mosei_align.splits.segments import strata
from mosei_schemas.labels import MOSEI_LABELS

Counts = npt.NDArray[np.int64]
Ratios = npt.NDArray[np.float64]
USUAL = np.array([0.7, 0.15, 0.15])
SEEDS = int(os.environ.get("MOSEI_SEEDS", "2"))


def few_huge() -> Counts:
    """Six groups hold half of all segments."""
    rng = np.random.default_rng(0)
    prior = np.array([0.6, 0.16, 0.12, 0.02, 0.06, 0.04])
    sizes = np.concatenate([rng.integers(250, 400, 6), rng.integers(1, 30, 150)])
    return np.array([rng.multinomial(size, rng.dirichlet(5 * prior + 0.05)) for size in sizes])


def one_sided() -> Counts:
    """Every group has one class only."""
    rng = np.random.default_rng(0)
    counts = np.zeros((400, 6), np.int64)
    for row in counts:
        row[rng.choice(6, p=[0.5, 0.2, 0.12, 0.1, 0.05, 0.03])] = rng.integers(1, 40)
    return counts


def rare_class() -> Counts:
    """One class is in nine of 250 groups, one in twenty-two."""
    rng = np.random.default_rng(0)
    sizes = np.clip(np.round(rng.lognormal(2, 1, 250)), 1, 120).astype(int)
    counts = np.array([np.append(rng.multinomial(size, [0.7, 0.2, 0.1]), [0, 0]) for size in sizes])
    counts[rng.permutation(250)[:9], 3] = rng.integers(1, 12, 9)
    counts[rng.permutation(250)[:22], 4] = rng.integers(1, 9, 22)
    return counts


def mosei_counts(real_folder: Path) -> Counts:
    """The real classes of MOSEI's videos."""
    group_of, labels = list[int](), list[npt.NDArray[np.float32]]()
    with CsdFile(real_folder / "mosei" / "CMU_MOSEI_Labels.csd") as file:
        index = file.index()
        for number, video in enumerate(sorted(index.entries)):
            values = read_labels(file, index, video).values
            group_of += [number] * len(values)
            labels.append(values)
    names, classes, _ = strata(np.concatenate(labels), list(MOSEI_LABELS))
    counts = np.zeros((max(group_of) + 1, len(names)), np.int64)
    np.add.at(counts, (np.array(group_of), classes), 1)
    return counts[:, counts.sum(axis=0) > 0]


def worst(counts: Counts, parts: Counts, ratios: Ratios) -> float:
    """Largest |share of a class in a part - the part's ratio|."""
    shares = np.stack([counts[parts == part].sum(axis=0) for part in range(len(ratios))]) / counts.sum(axis=0)
    return float(np.abs(shares - ratios[:, None]).max())


def sklearn_folds(counts: Counts, folds: int, seed: int) -> Counts:
    """The fold of each group by StratifiedGroupKFold."""
    group_of = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    class_of = np.concatenate([np.repeat(np.arange(counts.shape[1]), row) for row in counts])
    fold_of = np.zeros(len(counts), np.int64)
    found = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(class_of, class_of, group_of)
    for fold, (_, rows) in enumerate(found):
        fold_of[group_of[rows]] = fold
    return fold_of


@pytest.mark.parametrize("corpus", [few_huge, one_sided, rare_class])
def test_every_seed_beats_sklearn_on_skewed_corpora(corpus: Callable[[], Counts]) -> None:
    counts = corpus()
    merged = np.repeat([0, 1, 2], [14, 3, 3])
    for seed in range(SEEDS):
        theirs = merged[sklearn_folds(counts, 20, seed)]
        parts = assign_groups(counts, USUAL, seed)
        assert worst(counts, parts, USUAL) < worst(counts, theirs, USUAL) - 1e-9
        assert all(counts[parts == part].any(axis=0).all() for part in range(3))


@pytest.fixture(scope="module")
def mosei(real_folder: Path) -> Counts:
    return mosei_counts(real_folder)


@pytest.mark.real
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_seed_beats_sklearn_on_mosei(mosei: Counts, seed: int) -> None:
    theirs = np.repeat([0, 1, 2], [14, 3, 3])[sklearn_folds(mosei, 20, seed)]
    parts = assign_groups(mosei, USUAL, seed)
    assert worst(mosei, parts, USUAL) < worst(mosei, theirs, USUAL) - 1e-9


@pytest.mark.parametrize("corpus", [few_huge, one_sided, rare_class])
def test_folds_are_never_worse_than_those_of_sklearn_and_no_better_only_at_the_bound(
    corpus: Callable[[], Counts],
) -> None:
    counts, fifths = corpus(), np.full(5, 0.2)
    bound = Problem.of(counts, fifths).bound()[1]
    for seed in range(2):
        ours = worst(counts, assign_groups(counts, fifths, seed), fifths)
        theirs = worst(counts, sklearn_folds(counts, 5, seed), fifths)
        assert ours < theirs - 1e-9 or ours == pytest.approx(bound)


problems = st.tuples(st.integers(4, 8), st.integers(2, 5), st.integers(0, 10**6))


def sparse(groups: int, classes: int, seed: int) -> Counts:
    """Few classes a group, sizes of a heavy tail; no group and no class is empty."""
    rng = np.random.default_rng(seed)
    counts = (rng.random((groups, classes)) < 0.4) * np.ceil(3 * rng.pareto(1, (groups, classes)))
    counts = np.minimum(counts, 200).astype(np.int64)
    counts[:, 0] += 1
    return counts


@settings(max_examples=12, derandomize=True, database=None)
@given(problems, st.sampled_from([[0.7, 0.15, 0.15], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5]]))
def test_a_search_finds_what_trying_everything_finds(problem: tuple[int, int, int], ratios: list[float]) -> None:
    # Always the same problems: with 60 kicks, one in some hundred is missed.
    asked = Problem.of(sparse(*problem), np.array(ratios))
    best = asked.quality(try_everything(asked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assign, "_EVERYTHING", 0)
        patch.setattr(assign, "_MOST_KICKS", 60)
        found = asked.quality(assign_groups(asked.counts[:, :-1], asked.ratios, problem[2]))
    assert found[:2] == best[:2]


@settings(max_examples=100)
@given(problems, st.sampled_from([[0.7, 0.15, 0.15], [1 / 3, 1 / 3, 1 / 3], [0.9, 0.1]]))
def test_nothing_is_below_the_bound(problem: tuple[int, int, int], ratios: list[float]) -> None:
    groups, classes, seed = problem
    asked = Problem.of(sparse(min(groups, 6), classes, seed), np.array(ratios))
    missing, deviation = asked.bound()
    best = asked.quality(try_everything(asked))
    assert best[0] >= missing
    assert best[1] >= deviation - 1e-9


@settings(max_examples=40)
@given(problems)
def test_trying_everything_is_what_a_loop_over_everything_finds(problem: tuple[int, int, int]) -> None:
    groups, classes, seed = problem
    asked = Problem.of(sparse(min(groups, 5), classes, seed), USUAL)
    best = min(
        asked.quality(np.array(np.unravel_index(k, [3] * len(asked.counts)))) for k in range(3 ** len(asked.counts))
    )
    assert asked.quality(try_everything(asked)) == best


@pytest.mark.parametrize("groups", [7, 60])
def test_the_order_of_the_groups_does_not_matter(groups: int) -> None:
    rng = np.random.default_rng(groups)
    counts = sparse(groups, 4, groups)
    counts[:, 1] = rng.permutation(groups) + 1
    shuffled = rng.permutation(groups)
    parts = assign_groups(counts, USUAL, 3)
    assert assign_groups(counts[shuffled], USUAL, 3).tolist() == parts[shuffled].tolist()


def test_every_class_is_found_a_way_into_every_part_where_there_is_one() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        part_of = np.concatenate([np.arange(3), rng.integers(3, size=9)])
        counts = np.zeros((12, 6), np.int64)
        counts[:, 0] = 1
        for label in range(1, 6):
            for part in range(3):
                counts[rng.choice(np.flatnonzero(part_of == part)), label] = rng.integers(1, 60)
        parts = assign_groups(counts, USUAL, seed)
        assert all(counts[parts == part].any(axis=0).all() for part in range(3))


def test_no_rounding_deviates_less_than_largest_remainders() -> None:
    assert largest_remainders(10, USUAL).tolist() == [7, 2, 1]
    assert largest_remainders(348, np.full(5, 0.2)).tolist() == [70, 70, 70, 69, 69]
