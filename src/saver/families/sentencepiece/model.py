"""A SentencePiece model as data, and what must hold of it so that the library can be given it.

The library relies on what its own trainer writes: it builds a trie of the pieces by recursion, and collects
the symbols that begin a text in an array on its stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saver.families.sentencepiece import charsmap, wire
from saver.protobuf import encoded

_UNKNOWN, _USER_DEFINED, _BYTE, _LAST = 2, 4, 6, 6
"""Types of pieces; others are 1, normal, 3, control, and 5, unused."""

_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))

_PIECE_LIMIT = 1024
"""Bytes of a piece. The longest that the trainer makes by itself have 16 characters."""

_NESTED = 64
"""How many symbols of the user may begin a text at once: the room that the library has for them."""

_SCORE_LIMIT = 1e30
"""Sums of scores, over a text, stay finite."""

_SURFACE_LIMIT = 1024
"""Bytes of the text that stands for an unknown piece: each becomes as many."""

_SAMPLES_LIMIT = 1 << 16
"""Bytes of the texts that the library reads to test itself when a model is loaded."""

_MODEL_TYPES = (1, 2, 3, 4)
"""Unigram, BPE, words, characters."""


class Model(NamedTuple):
    """Pieces with scores and types; the settings of the trainer and of the normalizers, None if there are
    none; and texts with what they are expected to become, by which old versions test themselves."""

    pieces: list[str]
    scores: NDArray[np.float32]
    types: NDArray[np.uint8]
    trainer: dict[str, Any] | None
    normalizer: dict[str, Any] | None
    denormalizer: dict[str, Any] | None
    samples: list[dict[str, Any]] | None


def read(data: bytes) -> Model:
    """The model in the bytes that the library writes. Raises ValueError."""
    found = wire.read(data, wire.MODEL)
    pieces = [wire.read(each, wire.PIECE) for each in found.get("pieces", ())]
    types = [piece.get("type", 1) for piece in pieces]
    if not all(1 <= kind <= _LAST for kind in types):
        raise ValueError("a piece has a type that is not known")
    samples = None
    if "self_test_data" in found:
        texts = wire.read(found["self_test_data"], wire.SAMPLES).get("samples", ())
        samples = [wire.read(each, wire.SAMPLE) for each in texts]
    return Model(
        [piece.get("piece", "") for piece in pieces],
        np.array([piece.get("score", 0.0) for piece in pieces], np.float32),
        np.array(types, np.uint8),
        _read(found.get("trainer_spec"), wire.TRAINER),
        _read(found.get("normalizer_spec"), wire.NORMALIZER),
        _read(found.get("denormalizer_spec"), wire.NORMALIZER),
        samples,
    )


def _read(data: bytes | None, schema: wire.Schema) -> dict[str, Any] | None:
    return None if data is None else wire.read(data, schema)


def written(model: Model) -> bytes:
    """The bytes that the library is given. Raises ValueError unless it can be given them."""
    check(model)
    settings = {
        "trainer_spec": (model.trainer, wire.TRAINER),
        "normalizer_spec": (model.normalizer, wire.NORMALIZER),
        "denormalizer_spec": (model.denormalizer, wire.NORMALIZER),
    }
    message: dict[str, Any] = {
        name: wire.written(found, schema) for name, (found, schema) in settings.items() if found is not None
    }
    message["pieces"] = _pieces(model)
    if model.samples is not None:
        samples = [wire.written(each, wire.SAMPLE) for each in model.samples]
        message["self_test_data"] = wire.written({"samples": samples}, wire.SAMPLES)
    return wire.written(message, wire.MODEL)


def _pieces(model: Model) -> list[bytes]:
    """The message of each piece, as `wire.written` would write it: there are many."""
    scores = model.scores.astype("<f4").tobytes()
    kinds = [b"" if kind == 1 else b"\x18" + bytes((kind,)) for kind in range(_LAST + 1)]
    found = []
    for place, (piece, kind) in enumerate(zip(model.pieces, model.types.tolist(), strict=True)):
        text = piece.encode()
        score = scores[4 * place : 4 * place + 4]
        found.append(b"\n%b%b\x15%b%b" % (encoded(len(text)), text, score, kinds[kind]))
    return found


def check(model: Model) -> None:
    """Raise ValueError unless the library can be given this model, but for what `wire.written` checks."""
    count = len(model.pieces)
    if not count or model.scores.shape != (count,) or model.types.shape != (count,):
        raise ValueError("a model has no pieces, or not a score and a type for each")
    if not (np.abs(model.scores) <= _SCORE_LIMIT).all():
        raise ValueError("a score is not a finite number")
    if model.types.min() < 1 or model.types.max() > _LAST:
        raise ValueError("a piece has a type that is not known")
    for piece in model.pieces:
        if not piece or "\0" in piece or len(piece.encode()) > _PIECE_LIMIT:
            raise ValueError(f"a piece is not a text of 1 to {_PIECE_LIMIT} bytes without a zero")
    if len(set(model.pieces)) < count:
        raise ValueError("a piece is there twice")
    if np.count_nonzero(model.types == _UNKNOWN) != 1:
        raise ValueError("a model does not have one piece for what is unknown")
    trainer = model.trainer or {}
    _check_bytes(set(_of_type(model, _BYTE)), trainer.get("byte_fallback", False))
    _check_symbols(_of_type(model, _USER_DEFINED))
    _check_trainer(trainer, count)
    for found in (model.normalizer, model.denormalizer):
        if found and found.get("precompiled_charsmap"):
            charsmap.check(found["precompiled_charsmap"])
    samples = model.samples or []
    if sum(len(text) for sample in samples for text in sample.values()) > _SAMPLES_LIMIT:
        raise ValueError(f"the texts by which a model is tested have more than {_SAMPLES_LIMIT:,} characters")


def _of_type(model: Model, kind: int) -> list[str]:
    return [model.pieces[place] for place in np.flatnonzero(model.types == kind)]


def _check_bytes(found: set[str], fallback: Any) -> None:
    if found != (_BYTES if fallback is True else set()):
        raise ValueError("the pieces for bytes are not all 256 with byte_fallback, or none without")


def _check_symbols(symbols: Iterable[str]) -> None:
    """Few symbols may begin with each other, such as <a> and <a><b>. Sorted, those that begin one come
    before it."""
    open_: list[str] = []
    for symbol in sorted(symbols):
        while open_ and not symbol.startswith(open_[-1]):
            open_.pop()
        open_.append(symbol)
        if len(open_) > _NESTED:
            raise ValueError(f"more than {_NESTED} symbols of the user begin with each other")


def _check_trainer(trainer: dict[str, Any], count: int) -> None:
    if trainer.get("model_type", 1) not in _MODEL_TYPES:
        raise ValueError("a model is of a type that is not known")
    for name in ("unk_id", "bos_id", "eos_id", "pad_id"):
        number = trainer.get(name, -1)
        if type(number) is not int or not -1 <= number < count:
            raise ValueError(f"{name} is not the number of a piece, or -1")
    surface = trainer.get("unk_surface", "")
    if type(surface) is not str or len(surface) > _SURFACE_LIMIT:
        raise ValueError(f"unk_surface is not a text of at most {_SURFACE_LIMIT} characters")
