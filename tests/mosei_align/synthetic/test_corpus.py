"""The files of a corpus: their layout, that they are the same every time, and that they are written in a stream."""

import csv
import dataclasses
import itertools
import json
import tracemalloc

import h5py
import numpy as np
import pytest

from mosei_align.synthetic import DefectRates, Recipe, write_corpus
from mosei_align.synthetic.defects import PLANNERS
from mosei_schemas.errors import ConfigError, OutputError

SHORT = Recipe(mean_segments=3.0, median_segment_s=4.0, mean_gap_s=2.0)
SMALL = dataclasses.replace(SHORT, text_width=8, audio_width=9, video_width=8, audio_rate_hz=50.0)
CSD = {
    "CMU_MOSEI_TimestampedWords.csd": "words",
    "CMU_MOSEI_TimestampedWordVectors.csd": "glove_vectors",
    "CMU_MOSEI_COVAREP.csd": "COVAREP",
    "CMU_MOSEI_VisualFacet42.csd": "FACET 4.2",
    "CMU_MOSEI_Labels.csd": "All Labels",
}
KINDS = {
    *("id_missing", "empty_arrays", "length_mismatch", "missing_array"),
    *("no_words", "negative_start", "zero_length_label", "inverted_label", "nan_label"),
    *("inf_everywhere", "audio_stops", "no_face", "no_face_at_start", "nan_intervals", "unsorted_frames"),
    *("repeated_id", "nan_frames", "inf_frames", "prefix_id"),
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def arrays(folder, file):
    with h5py.File(folder / file) as opened:
        data = opened[CSD[file]]["data"]
        return {key: {name: group[name][()] for name in group} for key, group in data.items()}


def truth_of(folder):
    return json.loads((folder / "truth.json").read_text())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """24 short videos of full width."""
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    write_corpus(folder, dataclasses.replace(SHORT, videos=24, seed=7))
    return folder


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    recipe = dataclasses.replace(SMALL, videos=26)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_corpus(tmp_path / name, dataclasses.replace(recipe, seed=seed))
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a)


@pytest.mark.parametrize("clean", [True, False])
def test_a_video_does_not_depend_on_how_many_follow(tmp_path, clean):
    for videos in (6, 12):
        write_corpus(tmp_path / str(videos), dataclasses.replace(SMALL, videos=videos, clean=clean, seed=5))
    for file in CSD:
        few, many = arrays(tmp_path / "6", file), arrays(tmp_path / "12", file)
        assert few.keys() <= many.keys()
        for key in few:
            assert few[key].keys() == many[key].keys()
            for name, values in few[key].items():
                assert values.tobytes() == many[key][name].tobytes()
    few, many = truth_of(tmp_path / "6"), truth_of(tmp_path / "12")
    assert few["segments"] == many["segments"][: len(few["segments"])]
    assert few["videos"] == many["videos"][:6]


def test_the_layout_is_that_of_the_official_files(corpus):
    widths = {"words": 1, "glove_vectors": 300, "COVAREP": 74, "FACET 4.2": 35, "All Labels": 7}
    for file, root in CSD.items():
        with h5py.File(corpus / file) as opened:
            assert list(opened) == [root]
            metadata = {key: json.loads(item[0]) for key, item in opened[root]["metadata"].items()}
            assert all(item.shape == (1,) for item in opened[root]["metadata"].values())
            assert metadata["root name"] == root
            assert len(metadata["dimension names"]) == widths[root]
            assert {"computational sequence version", "dataset name", "creator"} <= metadata.keys()
            for group in opened[root]["data"].values():
                if "features" in group:
                    assert group["features"].shape[1] == widths[root]
                    assert group["features"].dtype.kind == ("S" if root == "words" else "f")
                    assert root == "words" or group["features"].dtype == np.float32
                if "intervals" in group:
                    assert group["intervals"].shape[1] == 2
                    assert root not in ("words", "glove_vectors") or group["intervals"].dtype == np.float64


def test_times_are_stored_as_float32_in_some_files_and_float64_in_others(tmp_path):
    seen = {}
    for seed in range(4):
        write_corpus(tmp_path / str(seed), dataclasses.replace(SMALL, videos=1, clean=True, seed=seed))
        for file, root in CSD.items():
            (entry,) = arrays(tmp_path / str(seed), file).values()
            seen.setdefault(root, set()).add(entry["intervals"].dtype.name)
    for root in ("COVAREP", "FACET 4.2", "All Labels"):
        assert seen[root] == {"float32", "float64"}


def test_rates_and_scales(tmp_path):
    write_corpus(tmp_path / "corpus", dataclasses.replace(SHORT, videos=12, seed=2, clean=True))
    for file, rate in (("CMU_MOSEI_COVAREP.csd", 100), ("CMU_MOSEI_VisualFacet42.csd", 30)):
        for entry in arrays(tmp_path / "corpus", file).values():
            times = entry["intervals"].astype(float)
            assert np.allclose(times[:, 1] - times[:, 0], 1 / rate, atol=1e-4)
            assert np.array_equal(times[1:, 0], times[:-1, 1])
    audio = np.concatenate([e["features"] for e in arrays(tmp_path / "corpus", "CMU_MOSEI_COVAREP.csd").values()])
    video = np.concatenate([e["features"] for e in arrays(tmp_path / "corpus", "CMU_MOSEI_VisualFacet42.csd").values()])
    assert 100 < audio[:, 0].mean() < 300
    assert audio.std(axis=0).max() / audio.std(axis=0).min() > 1_000
    assert np.abs(video).max() <= 8
    assert video.std(axis=0).min() > 0.5


def test_words_and_vectors_tell_of_the_same_tokens(corpus):
    words, vectors = (arrays(corpus, file) for file in list(CSD)[:2])
    both = [
        key
        for key in words
        if key in vectors and {len(a) for a in vectors[key].values()} == {len(words[key]["features"])}
    ]
    assert len(both) > 15
    meaning = {}
    for key in both:
        if vectors[key].keys() != {"features", "intervals"}:
            continue
        assert np.array_equal(words[key]["intervals"], vectors[key]["intervals"])
        pauses = words[key]["features"][:, 0] == b"sp"
        assert np.array_equal(pauses, ~vectors[key]["features"].any(axis=1))
        assert 0.02 < pauses.mean() < 0.4
        for token, vector in zip(words[key]["features"][:, 0], vectors[key]["features"], strict=True):
            assert meaning.setdefault(token, vector.tobytes()) == vector.tobytes()


def test_small_corpora_have_every_kind_of_defect(corpus, tmp_path):
    assert {field.name for field in dataclasses.fields(DefectRates)} == PLANNERS.keys()
    for seed in (7, 8, 9):
        folder = corpus if seed == 7 else tmp_path / str(seed)
        if seed != 7:
            write_corpus(folder, dataclasses.replace(SMALL, videos=24, seed=seed))
        videos = truth_of(folder)["videos"]
        found = [(defect["kind"], defect["sequence"]) for video in videos for defect in video["defects"]]
        assert {kind for kind, _ in found} == KINDS
        missing = {sequence for kind, sequence in found if kind == "id_missing"}
        assert missing == {"words", "glove_vectors", "COVAREP", "FACET 4.2", "All Labels"}
        assert ("length_mismatch", "All Labels") in found
        assert any(video["labels_unsorted"] for video in videos)
        assert any(video["labels_overlapping"] for video in videos)
        assert sum(not video["labelled"] for video in videos) >= 1
        ids = {video["video_id"] for video in videos}
        assert any({base, f"{base}4", f"{base}6"} <= ids for base in ids)


def test_tiny_corpora_have_as_many_kinds_as_videos(tmp_path):
    summary = write_corpus(tmp_path / "corpus", dataclasses.replace(SMALL, videos=8, seed=1))
    planted = set(summary.defects) - {"no_face_at_start", "nan_frames", "inf_frames", "prefix_id"}
    assert len(planted) >= 6


def test_a_rate_of_zero_plants_none(tmp_path):
    nothing = {field.name: 0.0 for field in dataclasses.fields(DefectRates)}
    rates = DefectRates(**(nothing | {"audio_missing": 0.5}))
    summary = write_corpus(tmp_path / "corpus", dataclasses.replace(SMALL, videos=12, rates=rates))
    assert set(summary.defects) == {"id_missing", "prefix_id"}


def test_a_clean_corpus_has_no_defects(tmp_path):
    summary = write_corpus(tmp_path / "corpus", dataclasses.replace(SMALL, videos=30, seed=1, clean=True))
    assert summary.defects == {}
    assert summary.strict == summary.masked == {None: summary.segments}
    assert summary.labelled_videos == 30
    for file in CSD:
        for entry in arrays(tmp_path / "corpus", file).values():
            assert len(entry["features"]) == len(entry["intervals"]) > 0
            assert file.endswith("Words.csd") or np.isfinite(entry["features"]).all()
            assert np.isfinite(entry["intervals"]).all()
    videos = truth_of(tmp_path / "corpus")["videos"]
    assert all(video["labelled"] and not video["defects"] for video in videos)
    assert any(video["labels_unsorted"] for video in videos)
    assert any(video["labels_overlapping"] for video in videos)


def test_folds_speakers_and_readme(corpus):
    folds = json.loads((corpus / "folds.json").read_text())
    videos = truth_of(corpus)["videos"]
    ids = [video["video_id"] for video in videos]
    assert list(folds) == ["train", "valid", "test"]
    assert sorted(itertools.chain(*folds.values())) == sorted(ids)
    assert [len(part) for part in folds.values()] == pytest.approx([16.8, 2.4, 4.8], abs=2)
    with (corpus / "speakers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["video_id"], row["speaker_id"]) for row in rows] == [(v["video_id"], v["speaker_id"]) for v in videos]
    speakers = {row["video_id"]: row["speaker_id"] for row in rows}
    assert 4 <= len(set(speakers.values())) <= 14
    assert {speakers[v] for v in folds["train"]} & {speakers[v] for v in folds["test"]}
    readme = (corpus / "README.txt").read_text().splitlines()
    assert len(readme) == 3
    assert "synthetic" in readme[0]
    assert "--videos 24 --seed 7" in readme[1]
    assert "7" in readme[2]


def test_the_summary_agrees_with_the_files(tmp_path):
    seen = []
    summary = write_corpus(tmp_path / "corpus", dataclasses.replace(SMALL, videos=24), seen.append)
    truth = truth_of(tmp_path / "corpus")
    assert seen == list(range(1, 25))
    assert summary.segments == len(truth["segments"])
    assert summary.labelled_videos == sum(video["labelled"] for video in truth["videos"])
    assert summary.strict[None] == sum(segment["strict"] is None for segment in truth["segments"])
    assert summary.masked[None] == sum(segment["masked"] is None for segment in truth["segments"])
    assert summary.size_bytes == sum(map(len, contents(tmp_path / "corpus").values()))
    assert truth["format"] == "mosei-align truth"
    assert truth["version"] == 1
    assert truth["recipe"]["videos"] == 24
    assert truth["signal_shares"] == {"text": 0.5, "audio": 0.3, "video": 0.2}


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="choose a new or an empty folder"):
        write_corpus(tmp_path, dataclasses.replace(SMALL, videos=1))
    with pytest.raises(OutputError, match="choose a new or an empty folder"):
        write_corpus(tmp_path / "mine.txt", dataclasses.replace(SMALL, videos=1))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    write_corpus(tmp_path / "empty", dataclasses.replace(SMALL, videos=1))
    assert (tmp_path / "empty" / "truth.json").exists()


def test_nothing_remains_of_a_corpus_that_was_interrupted(tmp_path):
    def interrupt(done):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "corpus", dataclasses.replace(SMALL, videos=4), interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"videos": 0},
        {"seed": -1},
        {"audio_width": 7},
        {"video_rate_hz": 10.0},
        {"signal_shares": (0.5, 0.5, 0.5)},
        {"mean_gap_s": 0.0},
        {"rates": DefectRates(no_face=1.5)},
    ],
)
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(ConfigError, match="cannot be made so"):
        Recipe(**wrong)


def test_memory_does_not_grow_with_the_number_of_videos(tmp_path):
    recipe = dataclasses.replace(SHORT, seed=3, clean=True, text_width=8)
    write_corpus(tmp_path / "warm", dataclasses.replace(recipe, videos=1))
    peaks = {}
    for videos in (10, 60):
        tracemalloc.start()
        summary = write_corpus(tmp_path / str(videos), dataclasses.replace(recipe, videos=videos))
        peaks[videos] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    audio = arrays(tmp_path / "60", "CMU_MOSEI_COVAREP.csd").values()
    longest = max(entry["features"].nbytes for entry in audio)
    assert summary.size_bytes > 20 * longest / 2
    assert peaks[60] < 4 * longest + 2**21
