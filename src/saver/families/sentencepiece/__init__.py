"""SentencePiece: trained models that cut texts into pieces, as several tokenizers of Transformers have."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="sentencepiece",
    packages=("sentencepiece",),
    codecs="saver.families.sentencepiece.codecs",
    change=Change(
        "note", "note", "ok", "a model is stored as its pieces and settings, which all versions read"
    ),
    instead={
        "sentencepiece.SentencePieceNormalizer": "save the SentencePieceProcessor that it belongs to",
    },
)
