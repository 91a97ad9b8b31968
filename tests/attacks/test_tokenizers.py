"""Descriptions of tokenizers that somebody changed: refused, or a sound tokenizer; never more memory than the
file backs, and no panic of compiled code."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tokenizers = pytest.importorskip("tokenizers")

from saver.errors import IncompatibleError, SaverError  # noqa: E402
from saver.families.tokenizers import codecs  # noqa: E402
from saver.families.tokenizers.described import LONGEST, check_pattern  # noqa: E402
from saver.tensors import TensorData, pieces  # noqa: E402
from saver.testing.codecs import StoredObject, change, load  # noqa: E402

pytestmark = pytest.mark.xdist_group("transformers")


def made(kind: str) -> Any:
    """A small tokenizer of each kind of model, with every kind of component."""
    pre, norm, post = tokenizers.pre_tokenizers, tokenizers.normalizers, tokenizers.processors
    words = {"a": 0, "b": 1, "ab": 2, "[UNK]": 3, "▁": 4}
    model = {
        "BPE": lambda: tokenizers.models.BPE(vocab=words, merges=[("a", "b")], unk_token="[UNK]"),
        "WordPiece": lambda: tokenizers.models.WordPiece(vocab=words, unk_token="[UNK]"),
        "WordLevel": lambda: tokenizers.models.WordLevel(vocab=words, unk_token="[UNK]"),
        "Unigram": lambda: tokenizers.models.Unigram([(word, -1.0) for word in words], unk_id=3),
    }[kind]()
    found = tokenizers.Tokenizer(model)
    found.normalizer = norm.Sequence([norm.NFKC(), norm.Replace(tokenizers.Regex(r"\s{2,}"), " ")])
    found.pre_tokenizer = pre.Sequence(
        [pre.Split(tokenizers.Regex(r"\p{N}{1,3}"), "isolated"), pre.Metaspace(), pre.Digits()]
    )
    found.post_processor = post.TemplateProcessing(single="$A [UNK]", special_tokens=[("[UNK]", 3)])
    found.decoder = tokenizers.decoders.Metaspace()
    found.add_special_tokens(["<s>"])
    found.enable_truncation(8)
    found.enable_padding(length=8)
    return found


KINDS = ("BPE", "WordPiece", "WordLevel", "Unigram")


def with_text(text: str) -> Any:
    """What loading this description gives."""
    saved = StoredObject(made("BPE"))
    (name,) = saved.tensors
    data = text.encode()
    saved.tensors[name] = TensorData("U8", (len(data),), np.frombuffer(data, np.uint8))
    return load(saved, ())


def test_an_honest_description_is_taken() -> None:
    text = json.dumps(described("BPE"), ensure_ascii=False, separators=(",", ":"))
    assert with_text(text).encode("ab").ids == made("BPE").encode("ab").ids


def described(kind: str) -> dict[str, Any]:
    """The description that is stored of one."""
    (data,) = StoredObject(made(kind)).tensors.values()
    found: dict[str, Any] = json.loads(bytes(next(iter(pieces(data)))))
    return found


def changed(**fields: Any) -> str:
    return json.dumps({**described("BPE"), **fields})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back(kind: str) -> None:
    found = load(StoredObject(made(kind)), ())
    assert found.to_str() == made(kind).to_str()
    assert found.encode("ab  12 a").ids == made(kind).encode("ab  12 a").ids


@pytest.mark.slow
@pytest.mark.shows("Transformers", "hostile files tried")
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_description_is_refused_or_a_tokenizer(
    kind: str, record_property: Callable[[str, int], None]
) -> None:
    record_property("hostile files", 400)
    honest, draw, refused, taken = json.dumps(described(kind)), random.Random(kind), 0, 0
    for _ in range(400):
        value = json.loads(honest)
        change(value, draw)
        if type(value) is not dict:
            continue
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        try:
            found = with_text(text)
        except SaverError:
            refused += 1
            continue
        _use(found)
        taken += 1
    assert refused > 100
    assert taken


def _use(found: Any) -> None:
    try:
        found.decode(found.encode("ab  12 <s> a").ids)
    except Exception:  # as by a vocabulary without what stands for the unknown
        pass


@pytest.mark.parametrize(
    "fields",
    [
        {"padding": {"strategy": {"Fixed": 3}, "direction": "Right", "pad_to_multiple_of": None,
                     "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}},
        {"truncation": {"direction": "Right", "max_length": 2**62, "strategy": "LongestFirst", "stride": 0}},
        {"model": {"type": "BPE"}}, {"model": None}, {"version": "9.0"}, {"added_tokens": [{"id": -1}]},
        {"padding": 3}, {"truncation": []},
    ],
)  # fmt: skip
def test_a_description_that_the_library_would_not_write_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(IncompatibleError):
        with_text(changed(**fields))


CUT = {"max_length": 8, "stride": 0, "strategy": "longest_first", "direction": "right"}
FILLED = {"length": 8, "pad_to_multiple_of": None, "pad_id": 0, "pad_token": "[PAD]", "pad_type_id": 0,
          "direction": "right"}  # fmt: skip


@pytest.mark.parametrize(
    ("cut", "filled"),
    [
        ({**CUT, "max_length": LONGEST + 1}, None), ({**CUT, "stride": 8}, None), ({}, None), (3, None),
        ({**CUT, "strategy": "no"}, None), ({**CUT, "direction": 3}, None), ({**CUT, "stride": -1}, None),
        (None, {**FILLED, "length": 2**40}), (None, {**FILLED, "pad_to_multiple_of": 2**60}),
        (None, {**FILLED, "pad_id": True}), (None, {**FILLED, "direction": "up"}), (None, []),
        (None, {**FILLED, "more": 1}),
    ],
)  # fmt: skip
def test_sizes_that_compiled_code_would_allocate_are_refused(cut: Any, filled: Any) -> None:
    text = json.dumps(described("BPE"), ensure_ascii=False, separators=(",", ":"))
    assert codecs.made(text, CUT, FILLED, True).truncation == CUT
    with pytest.raises(ValueError, match=r"."):
        codecs.made(text, cut, filled, True)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "{}", "[" * 100_000, '{"a":' * 100_000, "\x00"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(IncompatibleError):
        with_text(text)


@pytest.mark.parametrize(
    "pattern",
    ["a{10001}", "((a{100}){100}){2}", "(?~a)", "(?{1})", r"\g<1>(a)", "(?(1)a|b)", "a" * 5000, 3, None,
     "a{99999999999999999999}"],
)  # fmt: skip
def test_expressions_that_expand_without_limit_are_refused(pattern: Any) -> None:
    with pytest.raises(ValueError, match="expression"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*",
    ],
)
def test_expressions_of_real_tokenizers_are_not(pattern: str) -> None:
    check_pattern(pattern)
