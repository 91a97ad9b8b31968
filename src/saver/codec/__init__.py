"""Codecs, and the only two walks over objects: `Encoder` and `Decoder`.

A `Codec` turns one kind of object into a node's state and back. The walks do what all codecs have in
common: they find the codec, preserve shared references and cycles, limit the depth, name the path in
errors, and collect tensors. See docs/codecs.md for how to add one.
"""

from __future__ import annotations

from saver.codec.added import added, private
from saver.codec.attributes import (
    attributes_of,
    door,
    native_base,
    native_bases,
    own_dict,
    special,
)
from saver.codec.budget import Budget, bytes_of
from saver.codec.contract import INLINE_BYTES, BatchCodec, Codec, is_array, shown
from saver.codec.decoder import Decoder
from saver.codec.device import Device
from saver.codec.encoder import Encoder
from saver.codec.forms import bits, keyed, listed, nothing, octets
from saver.codec.lookup import (
    anew_of,
    check,
    codec_for,
    codec_modules,
    codec_named,
    forget_codecs,
    registers,
    rules_of,
)
from saver.registry import codec_root

__all__ = [
    "INLINE_BYTES",
    "BatchCodec",
    "Budget",
    "Codec",
    "Decoder",
    "Device",
    "Encoder",
    "added",
    "anew_of",
    "attributes_of",
    "bits",
    "bytes_of",
    "check",
    "codec_for",
    "codec_modules",
    "codec_named",
    "codec_root",
    "door",
    "forget_codecs",
    "is_array",
    "keyed",
    "listed",
    "native_base",
    "native_bases",
    "nothing",
    "octets",
    "own_dict",
    "private",
    "registers",
    "rules_of",
    "shown",
    "special",
]
