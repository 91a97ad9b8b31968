"""tokenizers: the compiled tokenizers behind those of Transformers, and the tokens added to them."""

from __future__ import annotations

from saver.family import Change, Family

_WITHIN = "save the tokenizer that it belongs to, or str(it), which is JSON"

FAMILY = Family(
    name="tokenizers",
    packages=("tokenizers",),
    codecs="saver.families.tokenizers.codecs",
    change=Change("note", "note", "ok", "a tokenizer is stored as its JSON, which newer versions read"),
    instead={
        "tokenizers.Encoding": "save its ids, or the texts",
        "tokenizers.models.Model": _WITHIN,
        "tokenizers.normalizers.Normalizer": _WITHIN,
        "tokenizers.pre_tokenizers.PreTokenizer": _WITHIN,
        "tokenizers.processors.PostProcessor": _WITHIN,
        "tokenizers.decoders.Decoder": _WITHIN,
    },
)
