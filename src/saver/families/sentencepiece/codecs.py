"""SentencePiece models by their pieces and settings. The library gets bytes that Saver writes from them, once
they were checked: it follows what stands in a model without looking."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import sentencepiece

from saver.codec import Codec, Decoder, Encoder
from saver.families.python.whole import WholeRestorer
from saver.families.sentencepiece import charsmap, model, wire
from saver.families.sentencepiece.model import Model
from saver.restoring import Restorer
from saver.tree import Node, Value

_PROCESSOR = "_processor"
_RETURNS = "_return_type"
_TYPES = {"int": int, "str": str, "bytes": bytes}
_NAMED = ("proto", "serialized_proto", "numpy", "offset_mapping")
_FLAGS = ("_add_bos", "_add_eos", "_reverse", "_emit_unk_piece", "_enable_sampling")
_NUMBERS = {"_nbest_size": 1 << 20, "_num_threads": 1024}
_ALPHA = "_alpha"
_OPTIONS = (_RETURNS, *_FLAGS, *_NUMBERS, _ALPHA)

_SETTINGS = {"trainer": wire.TRAINER, "normalizer": wire.NORMALIZER, "denormalizer": wire.NORMALIZER}
_CHARSMAP = "precompiled_charsmap"


class ProcessorCodec(Codec):
    """`SentencePieceProcessor`: the texts of its pieces, divided by zeros, their scores and types, and the
    settings by name; the rules of a normalization, which many models share, are a tensor of their own."""

    name = "sentencepiece.processor"
    types = (sentencepiece.SentencePieceProcessor,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return frozenset(vars(obj)) - {_PROCESSOR, *_OPTIONS}

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if not vars(obj).keys() >= {_PROCESSOR, *_OPTIONS}:
            encoder.refuse(
                "this version of sentencepiece keeps its options otherwise; install 0.2.3 or newer"
            )
        data = sentencepiece.SentencePieceProcessor.serialized_model_proto(obj)
        if not data:
            encoder.refuse("no model was loaded into this SentencePieceProcessor; load one, or leave it out")
        try:
            found = model.read(data)
            model.written(found)
        except ValueError as error:
            encoder.refuse(f"this model is not one that the trainer of SentencePiece makes: {error}")
        options = [_named(getattr(obj, name)) for name in _OPTIONS]
        encoder.check(_checked, options)
        return {
            "pieces": encoder.tensor(np.frombuffer("\0".join(found.pieces).encode(), np.uint8), "pieces"),
            "scores": encoder.tensor(found.scores, "scores"),
            "types": encoder.tensor(found.types, "types"),
            **{name: _settings(getattr(found, name), encoder, name) for name in _SETTINGS},
            "samples": None if found.samples is None else [
                {name: encoder(text) for name, text in sample.items()} for sample in found.samples
            ],
            "options": options,
        }  # fmt: skip

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        options = _checked(state["options"])
        pieces = decoder.array(state["pieces"], "U8", 1)
        decoder.budget.charge(12 * pieces.size, pieces.size)
        samples = state["samples"]
        found = Model(
            pieces.tobytes().decode().split("\0"),
            decoder.array(state["scores"], "F32", 1),
            decoder.array(state["types"], "U8", 1),
            **{name: _settings_again(state[name], decoder) for name in _SETTINGS},
            samples=None if samples is None else [
                {name: _text(decoder(text)) for name, text in sample.items()} for sample in samples
            ],
        )  # fmt: skip
        made = sentencepiece.SentencePieceProcessor()
        try:
            sentencepiece.SentencePieceProcessor.LoadFromSerializedProto(made, model.written(found))
        except RuntimeError as error:
            raise ValueError(f"the library does not take this model: {error}") from error
        vars(made).update(options)
        return made


def _settings(found: dict[str, Any] | None, encoder: Encoder, part: str) -> Value:
    """Settings by name. Bytes are a tensor, texts and lists of them values of their own."""
    if found is None:
        return None
    state: dict[str, Value] = {}
    for name, value in found.items():
        if name == _CHARSMAP:
            state[name] = encoder.tensor(np.frombuffer(value, np.uint8), part, name) if value else None
        elif type(value) is list:
            state[name] = [encoder(text) for text in value]
        else:
            state[name] = encoder(value)
    return state


def _settings_again(state: Any, decoder: Decoder) -> dict[str, Any] | None:
    if state is None:
        return None
    found: dict[str, Any] = {}
    for name, value in state.items():
        if name == _CHARSMAP:
            data = b"" if value is None else decoder.array(value, "U8", 1).tobytes()
            decoder.budget.charge(charsmap.MEMORY * len(data))
            found[name] = data
        elif type(value) is list:
            found[name] = [decoder(text) for text in value]
        else:
            found[name] = decoder(value)
    return found


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a text is something else")
    return value


def _named(value: Any) -> Any:
    """A value of an option; the name of a type."""
    return value.__name__ if isinstance(value, type) else value


def _checked(values: Any) -> dict[str, Any]:
    """The options by name. Raises ValueError for those that the library would not take."""
    found: dict[str, Any] = dict(zip(_OPTIONS, values, strict=True))
    returns = found[_RETURNS]
    if type(returns) is not str or (returns not in _TYPES and returns not in _NAMED):
        raise ValueError("a processor returns something that is not known")
    if not all(type(found[name]) is bool for name in _FLAGS):
        raise ValueError("an option of a processor is not a bool")
    for name, largest in _NUMBERS.items():
        if type(found[name]) is not int or not -1 <= found[name] <= largest:
            raise ValueError(f"{name.strip('_')} of a processor is not -1 to {largest:,}")
    if type(found[_ALPHA]) not in (int, float) or not math.isfinite(found[_ALPHA]):
        raise ValueError("alpha of a processor is not a finite number")
    return {**found, _RETURNS: _TYPES.get(returns, returns)}


def _become(target: Any, found: Any) -> None:
    vars(target).clear()
    vars(target).update(vars(found))


CODECS: tuple[Codec, ...] = (ProcessorCodec(),)

RESTORERS: tuple[Restorer, ...] = (
    WholeRestorer(sentencepiece.SentencePieceProcessor, ProcessorCodec.name, _become),
)
