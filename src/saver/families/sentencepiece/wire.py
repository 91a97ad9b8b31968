"""The protobuf of a SentencePiece model (`sentencepiece_model.proto`): messages as dicts, read and written.

A message holds the fields that are set, by name. What the schema does not have is refused, so that what is
written again is all that was read.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

from saver.protobuf import encoded, varint

_VARINT, _BYTES, _FIXED32 = 0, 2, 5

LARGEST = (1 << 53) - 1
"""The largest integer that a field may hold: those of sizes and numbers of sentences are far below."""


class Field(NamedTuple):
    """A field of a message: its number and its kind. `texts` and `messages` may occur any number of times."""

    number: int
    kind: str


Schema = dict[str, Field]


def _schema(kinds: dict[str, dict[str, int]]) -> Schema:
    found = {name: Field(number, kind) for kind, names in kinds.items() for name, number in names.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].number))


TRAINER = _schema(
    {
        "text": {
            "model_prefix": 2, "input_format": 7, "required_chars": 36, "unk_surface": 44, "unk_piece": 45,
            "bos_piece": 46, "eos_piece": 47, "pad_piece": 48, "pretokenization_delimiter": 53,
            "seed_sentencepieces_file": 54,
        },
        "texts": {"input": 1, "accept_language": 5, "control_symbols": 30, "user_defined_symbols": 31},
        "int": {
            "model_type": 3, "vocab_size": 4, "self_test_sample_size": 6, "mining_sentence_size": 12,
            "training_sentence_size": 13, "seed_sentencepiece_size": 14, "num_threads": 16,
            "num_sub_iterations": 17, "max_sentence_length": 18, "max_sentencepiece_length": 20,
            "unk_id": 40, "bos_id": 41, "eos_id": 42, "pad_id": 43,
        },
        "size": {"input_sentence_size": 11, "differential_privacy_clipping_threshold": 52},
        "float": {
            "character_coverage": 10, "shrinking_factor": 15, "differential_privacy_noise_level": 51,
        },
        "bool": {
            "shuffle_input_sentence": 19, "split_by_unicode_script": 21, "split_by_whitespace": 22,
            "split_by_number": 23, "treat_whitespace_as_suffix": 24, "split_digits": 25,
            "allow_whitespace_only_pieces": 26, "vocabulary_output_piece_score": 32, "hard_vocab_limit": 33,
            "use_all_vocab": 34, "byte_fallback": 35, "train_extremely_large_corpus": 49,
            "enable_differential_privacy": 50, "auto_character_coverage": 55,
        },
    }
)  # fmt: skip
NORMALIZER = _schema(
    {
        "text": {"name": 1, "normalization_rule_tsv": 6},
        "bytes": {"precompiled_charsmap": 2},
        "bool": {"add_dummy_prefix": 3, "remove_extra_whitespaces": 4, "escape_whitespaces": 5},
    }
)
PIECE = _schema({"text": {"piece": 1}, "float": {"score": 2}, "int": {"type": 3}})
SAMPLE = _schema({"text": {"input": 1, "expected": 2}})
SAMPLES = _schema({"messages": {"samples": 1}})
MODEL = _schema(
    {
        "messages": {"pieces": 1},
        "message": {"trainer_spec": 2, "normalizer_spec": 3, "self_test_data": 4, "denormalizer_spec": 5},
    }
)

_WIRE = {
    "text": _BYTES, "texts": _BYTES, "bytes": _BYTES, "message": _BYTES, "messages": _BYTES,
    "int": _VARINT, "size": _VARINT, "bool": _VARINT, "float": _FIXED32,
}  # fmt: skip


def read(data: bytes, schema: Schema) -> dict[str, Any]:
    """The fields of a message; messages within it are their bytes. Raises ValueError."""
    names = {field.number << 3 | _WIRE[field.kind]: name for name, field in schema.items()}
    found: dict[str, Any] = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        name = names.get(tag)
        if name is None:
            raise ValueError(
                f"a message has a field {tag >> 3} of the wire type {tag & 7}, which is not known"
            )
        kind = schema[name].kind
        raw: Any
        if _WIRE[kind] == _VARINT:
            raw, at = varint(data, at)
        else:
            size, at = (4, at) if kind == "float" else varint(data, at)
            raw, at = data[at : at + size], at + size
        if at > len(data):
            raise ValueError(f"{name} ends beyond its message")
        value = _value(name, kind, raw)
        if kind in ("texts", "messages"):
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ValueError(f"{name} is there twice")
        else:
            found[name] = value
    return found


def _value(name: str, kind: str, raw: Any) -> Any:
    if kind in ("text", "texts"):
        return raw.decode()
    if kind == "float":
        return struct.unpack("<f", raw)[0]
    if kind == "bool":
        if raw > 1:
            raise ValueError(f"{name} is neither true nor false")
        return raw == 1
    if kind == "int" and raw >= 1 << 63:
        return raw - (1 << 64)
    return raw


def written(message: dict[str, Any], schema: Schema) -> bytes:
    """A message with these fields, in the order of their numbers. Raises ValueError for what is not in the
    schema, or of another type."""
    if type(message) is not dict or not message.keys() <= schema.keys():
        raise ValueError("a message is not a dict of the fields that it can have")
    found: list[bytes] = []
    for name, field in schema.items():
        if name not in message:
            continue
        value = message[name]
        many = field.kind in ("texts", "messages")
        if many and type(value) is not list:
            raise ValueError(f"{name} is not a list")
        tag = encoded(field.number << 3 | _WIRE[field.kind])
        for each in value if many else (value,):
            found += (tag, _written(name, field.kind, each))
    return b"".join(found)


_TYPES = {
    "text": str, "texts": str, "bytes": bytes, "message": bytes, "messages": bytes, "int": int, "size": int,
    "bool": bool, "float": float,
}  # fmt: skip


def _written(name: str, kind: str, value: Any) -> bytes:
    found = type(value)
    if found is not _TYPES[kind]:
        raise ValueError(f"{name} is a {found.__name__}, not a {_TYPES[kind].__name__}")
    if kind == "float":
        if not math.isfinite(value) or abs(value) > _FLOAT or _single(value) != value:
            raise ValueError(f"{name} is {value!r}, which is not a finite number of 32 bits")
        return struct.pack("<f", value)
    if kind == "int" and not -(1 << 31) <= value < 1 << 31:
        raise ValueError(f"{name} is {value!r:.40}, which does not have 32 bits")
    if kind == "size" and not 0 <= value <= LARGEST:
        raise ValueError(f"{name} is {value!r:.40}, not a size")
    if kind in ("int", "size", "bool"):
        return encoded(int(value) % (1 << 64))
    data: bytes = value.encode() if found is str else value
    return encoded(len(data)) + data


_FLOAT = 3.4028234663852886e38
"""The largest number of 32 bits."""


def _single(value: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found
