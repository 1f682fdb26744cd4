"""Every stage that mmsdk was run on, in every byte."""

import numpy as np
import pytest

from mosei_align.compat_mmsdk import (
    Sequences,
    align,
    average,
    get_tensors,
    hard_unify,
    impute,
    read_sequences,
    revert,
)

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stages(golden) -> dict[str, Sequences]:
    """Our stage of each name."""
    made = {}
    labels = {"All Labels": golden.labels}
    made["A1_labels_no_collapse"] = align({**golden.three, **labels}, "All Labels").sequences
    made["A2_hard_unify"] = hard_unify(made["A1_labels_no_collapse"]).sequences
    words = align(golden.three, "glove_vectors", average).sequences
    made["B1_words_average"] = words
    made["B2_then_labels"] = align({**words, **labels}, "All Labels").sequences
    made["B3_hard_unify"] = hard_unify(made["B2_then_labels"]).sequences
    made["C1_impute"] = impute(words, "glove_vectors").sequences
    made["C2_then_labels"] = align({**made["C1_impute"], **labels}, "All Labels").sequences
    made["C3_hard_unify"] = hard_unify(made["C2_then_labels"]).sequences
    made["C4_revert"] = revert(made["C3_hard_unify"]).sequences
    every_word = impute(align(golden.three, "glove_vectors").sequences, "glove_vectors").sequences
    made["D_process_mosei_recipe"] = hard_unify(align({**every_word, **labels}, "All Labels").sequences).sequences
    spoken = {"words": read_sequences([golden.input / "words.csd"])["words"]}
    made["E_string_words_tutorial_average"] = align({**golden.three, **spoken}, "words", [average]).sequences
    return made


@pytest.mark.parametrize(
    "name",
    [
        "A1_labels_no_collapse",
        "A2_hard_unify",
        "B1_words_average",
        "B2_then_labels",
        "B3_hard_unify",
        "C1_impute",
        "C2_then_labels",
        "C3_hard_unify",
        "C4_revert",
        "D_process_mosei_recipe",
        "E_string_words_tutorial_average",
    ],
)
def test_a_stage_is_mmsdks_in_every_byte(stages, golden, flat, name: str) -> None:
    expected = golden.stage(name)
    assert expected
    assert flat(stages[name]) == expected


def test_what_is_dropped_is_told_as_in_the_golden_list(golden) -> None:
    labels = {"All Labels": golden.labels}
    first = align({**golden.three, **labels}, "All Labels")
    words = align(golden.three, "glove_vectors", average)
    then = align({**words.sequences, **labels}, "All Labels", measured=golden.three)
    losses = {
        "A1_labels_no_collapse": first.losses,
        "B1_words_average": words.losses,
        "B2_then_labels": then.losses,
        "A2_hard_unify": hard_unify(first.sequences).losses,
        "B3_hard_unify": hard_unify(then.sequences).losses,
    }
    told = [
        {"stage": stage, "sequence": loss.sequence, "key": loss.key, "reason": loss.reason}
        for stage, found in losses.items()
        for loss in found
    ]
    assert told == golden.dropped
    assert len(told) == 329


@pytest.mark.parametrize("side", ["left_pad", "right_pad"])
def test_the_tensors_are_mmsdks_in_every_byte(stages, golden, side: str) -> None:
    parts = ("train", "valid", "test")
    made = get_tensors(
        stages["C3_hard_unify"],
        12,
        [golden.folds[part] for part in parts],
        non_sequences=["All Labels"],
        direction=side == "right_pad",
    )
    with np.load(golden.folder / "expected" / "C3_tensors_seq12.npz") as expected:
        assert len(expected.files) == 24
        for part, tensors in zip(parts, made.folds, strict=True):
            assert list(tensors) == list(stages["C3_hard_unify"])
            for name, tensor in tensors.items():
                theirs = expected[f"{side}|{part}|{name}"]
                assert (tensor.dtype, tensor.shape) == (theirs.dtype, theirs.shape)
                assert tensor.tobytes() == theirs.tobytes()


def test_the_inputs_stay_as_they_were(golden, flat) -> None:
    streams = {**golden.three, "All Labels": golden.labels}
    before = flat(streams)
    words = align(golden.three, "glove_vectors", average).sequences
    imputed_from = flat(words)
    hard_unify(align(streams, "All Labels").sequences)
    impute(words, "glove_vectors")
    assert flat(streams) == before
    assert flat(words) == imputed_from
