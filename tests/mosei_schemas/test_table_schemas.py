"""The declared Arrow schemas, written out once more."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosei_schemas.tables import assignment_schema, ledger_schema, segments_schema, vector_type

COMMON = [
    "segment_id",
    "video_id",
    "speaker_id",
    "label_row",
    "start_s",
    "end_s",
    "labels",
    "steps_from",
    "steps",
    "step_start_s",
    "step_end_s",
    "words",
]


def fixed(width: int) -> pa.DataType:
    return pa.list_(pa.field("element", pa.float32(), nullable=False), width)


def listed(item: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", item, nullable=False))


def test_segments_with_every_modality() -> None:
    schema = segments_schema({"video": 35, "text": 300, "audio": 74}, ["sentiment", "happy"])
    pairs = [c for m in ("text", "audio", "video") for c in (m, f"{m}_valid")]
    assert schema.names == [*COMMON, *pairs]
    assert schema.field("labels").type == fixed(2)
    assert schema.field("label_row").type == schema.field("steps").type == pa.int32()
    assert schema.field("start_s").type == schema.field("end_s").type == pa.float64()
    assert schema.field("step_start_s").type == schema.field("step_end_s").type == listed(pa.float64())
    assert schema.field("words").type == listed(pa.string())
    assert schema.field("audio").type == listed(fixed(74))
    assert schema.field("audio_valid").type == listed(pa.bool_())
    assert schema.field("text").type.value_type.list_size == 300


@pytest.mark.parametrize("dims", [{"text": 3}, {"audio": 1, "video": 2}])
def test_modalities_that_are_not_there_have_no_columns(dims: dict[str, int]) -> None:
    names = segments_schema(dims, ["sentiment"]).names
    assert names == [*COMMON, *(c for m in dims for c in (m, f"{m}_valid"))]


def nullable(schema: pa.Schema) -> list[str]:
    """Paths of everything that may be null, list elements too."""
    found = []
    for field in schema:
        path, kind = field.name, field.type
        if field.nullable:
            found.append(path)
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            path += "[]"
            if kind.value_field.nullable:
                found.append(path)
            kind = kind.value_type
    return found


def test_next_to_nothing_may_be_null() -> None:
    assert nullable(segments_schema({"text": 3, "audio": 2, "video": 1}, ["a"])) == ["speaker_id"]
    assert nullable(ledger_schema()) == ["reason", "detail"]
    assert nullable(assignment_schema()) == []


def test_the_ledger_has_all_three_modalities() -> None:
    schema = ledger_schema()
    own = ["segment_id", "video_id", "label_row", "start_s", "end_s", "kept", "reason", "detail"]
    own += ["steps_from", "steps"]
    told = [
        f"{m}_{c}" for m in ("text", "audio", "video") for c in ("state", "frames", "invalid_frames", "valid_steps")
    ]
    assert schema.names == own + told
    assert {str(schema.field(f"audio_{c}").type) for c in ("frames", "invalid_frames", "valid_steps")} == {"int32"}
    assert schema.field("kept").type == pa.bool_()
    assert schema.field("audio_state").type == pa.string()


def test_the_assignment() -> None:
    assert assignment_schema().names == ["segment_id", "video_id", "group", "part"]
    assert {str(field.type) for field in assignment_schema()} == {"string"}


def test_the_schemas_survive_parquet() -> None:
    for schema in (segments_schema({"text": 3, "audio": 2}, ["a", "b"]), ledger_schema(), assignment_schema()):
        sink = pa.BufferOutputStream()
        pq.write_table(schema.empty_table(), sink)
        assert pq.read_schema(pa.BufferReader(sink.getvalue())).equals(schema)


def test_a_vector_has_its_width() -> None:
    assert vector_type(713) == fixed(713)
    assert vector_type(1) != vector_type(2)
