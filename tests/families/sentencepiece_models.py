"""Small SentencePiece models, trained; and texts that use all of them."""

from __future__ import annotations

import io
import random
from functools import cache
from typing import Any

import sentencepiece

TEXTS = (
    "the quick <x><xy> fox 12", "\uff21\uff22 \ufb01ne \ufdfa e\u0301 日本 \U0001f600", "", " a  b\t",
    "ab" * 40, "@" * 80,
)  # fmt: skip

KINDS: dict[str, dict[str, Any]] = {
    "unigram": {"vocab_size": 70},
    "bpe": {"vocab_size": 90, "model_type": "bpe", "normalization_rule_name": "identity"},
    "characters": {"vocab_size": 60, "model_type": "char", "normalization_rule_name": "nfkc_cf"},
    "words": {"vocab_size": 30, "model_type": "word", "treat_whitespace_as_suffix": True},
    "bytes": {"vocab_size": 320, "byte_fallback": True, "model_type": "bpe"},
    "symbols": {
        "vocab_size": 80, "user_defined_symbols": ["<x>", "<xy>", "<x><xy>"], "control_symbols": ["<c>"],
        "pad_id": 3, "unk_surface": " ?? ", "remove_extra_whitespaces": False,
    },
}  # fmt: skip
"""All but one normalize by nmt_nfkc or nfkc_cf."""

_SAID = (
    "the quick brown fox jumps over lazy dogs while many small models learn to cut words into pieces that "
    "come back the same naïve café"
)


@cache
def trained(kind: str) -> bytes:
    """The bytes of a trained model."""
    draw = random.Random(kind)
    lines = [" ".join(draw.choices(_SAID.split(), k=12)) for _ in range(200)]
    data = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=data, minloglevel=2, hard_vocab_limit=False,
        num_threads=1, **KINDS[kind],
    )  # fmt: skip
    return data.getvalue()


def processor(kind: str, **options: Any) -> Any:
    """A processor with such a model."""
    return sentencepiece.SentencePieceProcessor(model_proto=trained(kind), **options)


def answers(found: Any) -> list[Any]:
    """All that a processor says of the texts and of its pieces."""
    every = range(found.get_piece_size())
    return [
        [found.encode(text, out_type=out) for text in TEXTS for out in (int, str)],
        [found.decode(found.encode(text, out_type=int)) for text in TEXTS],
        [found.normalize(text) for text in TEXTS],
        [(found.id_to_piece(i), found.get_score(i), found.is_control(i), found.is_byte(i)) for i in every],
        (found.unk_id(), found.bos_id(), found.eos_id(), found.pad_id()),
    ]


def used(data: bytes) -> None:
    """Have the library load these bytes and do all that it does with a model. It may raise errors; what it
    must not do is crash."""
    found = sentencepiece.SentencePieceProcessor()
    try:
        found.LoadFromSerializedProto(data)
    except RuntimeError:
        return
    for text in (*TEXTS, "a\0b", b"\xff\xfe\xe2\x96", bytes(range(256))):
        for options in (
            {},
            {"enable_sampling": True, "nbest_size": -1},
            {"enable_sampling": True, "nbest_size": 4},
        ):
            try:
                found.decode(found.encode(text, out_type=int, alpha=0.1, **options))
            except (RuntimeError, ValueError):
                continue
    for number in range(found.get_piece_size()):
        found.piece_to_id(found.id_to_piece(number))
    try:
        found.decode(list(range(found.get_piece_size())))
    except (RuntimeError, ValueError):
        return
