"""Models and tokenizers of Transformers that no list has come back under trust, and compute the same bits."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("torch")

import torch
import transformers

import saver
from saver.errors import CannotSaveError, UntrustedError

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]

TRUST = ("transformers.models.*",)
LAYERS = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2}
HEADS = {**LAYERS, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 16, "vocab_size": 20}
ACROSS = {
    "cross_num_attention_heads": 2, "cross_num_key_value_heads": 2, "cross_head_dim": 8,
    "cross_hidden_size": 16,
}  # fmt: skip
WORDS = torch.tensor([[4, 5, 6, 7], [7, 6, 5, 4]])


def _small() -> Any:
    halves = {f"{half}_{name}": size for half in ("encoder", "decoder")
              for name, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))}  # fmt: skip
    return transformers.BlenderbotSmallConfig(vocab_size=20, d_model=16, max_position_embeddings=16, **halves)


def _cpm() -> Any:
    return transformers.CpmAntConfig(
        vocab_size=20, dim_head=8, dim_ff=16, prompt_length=2, prompt_types=4, **LAYERS
    )


def _dia() -> Any:
    decoder = {**HEADS, **ACROSS, "num_channels": 2}
    return transformers.DiaConfig(encoder_config=HEADS, decoder_config=decoder, delay_pattern=[0, 1])


MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "BlenderbotSmallModel": (_small, {"input_ids": WORDS, "decoder_input_ids": WORDS}),
    "BlenderbotSmallForConditionalGeneration": (_small, {"input_ids": WORDS, "decoder_input_ids": WORDS}),
    "BlenderbotSmallForCausalLM": (_small, {"input_ids": WORDS}),
    "CpmAntModel": (_cpm, {"input_ids": WORDS}),
    "CpmAntForCausalLM": (_cpm, {"input_ids": WORDS}),
    "DiaForConditionalGeneration": (
        _dia, {"input_ids": WORDS, "decoder_input_ids": torch.ones((2, 3, 2), dtype=torch.long)},
    ),
    "MgpstrForSceneTextRecognition": (
        lambda: transformers.MgpstrConfig(image_size=[8, 16], **LAYERS),
        {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 8 * 16).reshape(2, 3, 8, 16)},
    ),
}  # fmt: skip


def bits(value: Any) -> list[bytes]:
    """The bytes of all tensors of an answer."""
    if isinstance(value, torch.Tensor):
        return [value.detach().contiguous().numpy().tobytes()]
    items = value.values() if hasattr(value, "values") else value if isinstance(value, (list, tuple)) else ()
    return [found for item in items for found in bits(item)]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_no_list_has_computes_the_same_bits_under_trust(name: str, tmp_path: Path) -> None:
    configured, given = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, name)(configured()).eval()
    saver.dump(model, tmp_path / "m.saver")
    with pytest.raises(UntrustedError, match=r"transformers\.models\."):
        saver.load(tmp_path / "m.saver")
    with torch.no_grad():
        expected = bits(model(**given))
        assert expected
        assert bits(saver.load(tmp_path / "m.saver", trust=TRUST)(**given)) == expected


FILES = {
    "letters.json": json.dumps({"[GO]": 0, "[s]": 1, "a": 2, "b": 3}),
    "pairs.json": json.dumps(
        {"__start__": 0, "__end__": 1, "__unk__": 2, "__null__": 3, "a@@": 4, "b": 5, "ab": 6}
    ),
    "merges.txt": "#version: 0.2\na b</w>\n",
    "pieces.txt": "\n".join(["<d>", "</d>", "<s>", "</s>", "<pad>", "<unk>", "</n>", "</_>", "a", "b"]),
}
TOKENIZERS = {
    "BlenderbotSmallTokenizer": ("pairs.json", "merges.txt"),
    "DiaTokenizer": (),
    "MgpstrTokenizer": ("letters.json",),
}
"""Tokenizer → the files that it is made from."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_that_no_list_has_reads_the_same_under_trust(name: str, tmp_path: Path) -> None:
    for file, text in FILES.items():
        (tmp_path / file).write_text(text)
    words = getattr(transformers, name)(*(str(tmp_path / file) for file in TOKENIZERS[name]))
    saver.dump(words, tmp_path / "w.saver")
    for file in FILES:
        (tmp_path / file).unlink()
    with pytest.raises(UntrustedError, match=name):
        saver.load(tmp_path / "w.saver")
    found = saver.load(tmp_path / "w.saver", trust=TRUST)
    assert found.get_vocab() == words.get_vocab()
    for text in ("ab", "a b", "", "b"):
        assert found(text)["input_ids"] == words(text)["input_ids"]
        assert found.decode(found(text)["input_ids"]) == words.decode(words(text)["input_ids"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CpmAntTokenizer", "CpmTokenizer"])
def test_tokenizers_that_hold_a_module_are_refused_when_they_are_saved(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentencepiece_models import trained

    jieba = types.ModuleType("rjieba")
    jieba.__spec__ = ModuleSpec("rjieba", None)
    monkeypatch.setitem(sys.modules, "rjieba", jieba)
    (tmp_path / "pieces").write_text(FILES["pieces.txt"])
    if name == "CpmTokenizer":
        (tmp_path / "pieces").write_bytes(trained("unigram"))
    words = getattr(transformers, name)(str(tmp_path / "pieces"))
    with pytest.raises(CannotSaveError, match=r"\$\.model\.(jieba|wordpiece_tokenizer)"):
        saver.dump(words, tmp_path / "w.saver")
    assert not (tmp_path / "w.saver").exists()
