"""Compiled tokenizers by their JSON, and added tokens by their fields."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer

from saver.codec import Codec, Decoder, Encoder
from saver.families.tokenizers import described
from saver.tree import Node, Value

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class TokenizerCodec(Codec):
    """`tokenizers.Tokenizer`: the JSON that the library writes, as one tensor. How texts are cut and filled
    up stands beside it: calls change that, and would make each version cost the whole vocabulary."""

    name = "tokenizers.tokenizer"
    types = (Tokenizer,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            plain = Tokenizer.from_str(obj.to_str())
        except Exception as error:
            encoder.refuse(
                f"this tokenizer cannot be written as JSON ({error}); take out the components that are "
                "written in Python, and put them back after loading"
            )
        plain.no_truncation()
        plain.no_padding()
        text = plain.to_str()
        encoder.check(made, text, obj.truncation, obj.padding, obj.encode_special_tokens)
        return {
            "json": encoder.tensor(np.frombuffer(text.encode(), np.uint8), "json"),
            "truncation": encoder.own(obj.truncation) if obj.truncation is not None else None,
            "padding": encoder.own(obj.padding) if obj.padding is not None else None,
            "special": obj.encode_special_tokens,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        data = decoder.array(state["json"], "U8", 1)
        decoder.budget.charge(40 * data.size, data.size)
        cut, filled = (decoder(state[name]) for name in ("truncation", "padding"))
        return made(data.tobytes().decode(), cut, filled, state["special"])


def made(text: str, truncation: Any, padding: Any, special: Any) -> Any:
    """The tokenizer that this describes. Raises ValueError for what the library would not write, or what
    could lead it to use memory without limit."""
    if type(special) is not bool:
        raise ValueError("whether special tokens are encoded is not a bool")
    described.check_truncation(truncation)
    described.check_padding(padding)
    try:
        described.check(json.loads(text))
    except RecursionError as error:
        raise ValueError("the description of a tokenizer is nested too deep") from error
    try:
        found = Tokenizer.from_str(text)
        if found.to_str() != text:
            raise ValueError("the library would write this tokenizer otherwise")
        _try(found)
        if truncation is not None:
            found.enable_truncation(**truncation)
        if padding is not None:
            found.enable_padding(**padding)
    except BaseException as error:  # a panic in Rust is a BaseException
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise ValueError(f"the library does not take this tokenizer: {error}") from error
    found.encode_special_tokens = special
    return found


_PROBE = "a Bé 12  \n<s>.#1\U0001f600"


def _try(found: Any) -> None:
    """Read a text, alone and in a pair, and write it again: compiled code that relies on what is not there
    (a token that a template names) panics. Its ordinary errors are the tokenizer's own, as of one that has no
    token for what it does not know."""
    try:
        found.decode(found.encode(_PROBE).ids)
        found.encode(_PROBE, _PROBE)
    except Exception:  # not a panic
        return


class AddedTokenCodec(Codec):
    """`AddedToken`: a text, and how it is found in others."""

    name = "tokenizers.added"
    types = (AddedToken,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.content), *(getattr(obj, name) for name in _FLAGS)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        content, *flags = node.state
        content = decoder(content)
        if type(content) is not str or [type(flag) for flag in flags] != [bool] * len(_FLAGS):
            raise ValueError("an added token is a text and five bools")
        return AddedToken(content, **dict(zip(_FLAGS, flags, strict=True)))


CODECS: tuple[Codec, ...] = (TokenizerCodec(), AddedTokenCodec())
