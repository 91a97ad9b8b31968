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

pytest.importorskip("sentencepiece")

import tokenizers
import torch
import transformers
from sentencepiece_models import trained
from transformers.models.cpmant import tokenization_cpmant

import saver
from saver.errors import CannotSaveError, IncompatibleError, UntrustedError
from saver.testing.codecs import bytes_of

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


CUTTING = ("CpmAntTokenizer", "CpmTokenizer", "CpmTokenizerFast")
"""Tokenizers that cut Chinese texts with a library, `rjieba`."""


def jieba() -> types.ModuleType:
    """What stands for the library: it cuts between all letters."""
    found = types.ModuleType("rjieba")
    found.__spec__ = ModuleSpec("rjieba", None)
    found.cut = lambda text, hmm: list(text)  # type: ignore[attr-defined]
    return found


def cutting(name: str, folder: Path) -> Any:
    if name == "CpmTokenizerFast":
        words = {word: number for number, word in enumerate(("<unk>", "<s>", "</s>", "a", "b"))}
        whole = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
        whole.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
        return transformers.CpmTokenizerFast(tokenizer_object=whole)
    path = folder / "pieces"
    path.write_bytes(trained("unigram") if name == "CpmTokenizer" else FILES["pieces.txt"].encode())
    made = getattr(transformers, name)(str(path))
    path.write_text("another file")
    return made


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    library = jieba()
    monkeypatch.setitem(sys.modules, "rjieba", library)
    monkeypatch.setattr(tokenization_cpmant, "rjieba", library, raising=False)
    monkeypatch.setattr(tokenization_cpmant, "requires_backends", lambda obj, backends: None)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", CUTTING)
def test_tokenizers_that_cut_with_a_library_read_the_same_under_trust(name: str, tmp_path: Path) -> None:
    words = cutting(name, tmp_path)
    words.add_tokens(["<new>"])
    data = saver.dumps(words)
    assert str(tmp_path).encode() not in data
    with pytest.raises(UntrustedError, match=name):
        saver.loads(data)
    found = saver.loads(data, trust=TRUST)
    assert found.get_vocab() == words.get_vocab()
    for text in ("ab", "a b <new>", "", "the fox"):
        assert found(text)["input_ids"] == words(text)["input_ids"]
        assert found.decode(found(text)["input_ids"]) == words.decode(words(text)["input_ids"])
    assert bytes_of(found) == bytes_of(words)
    if name == "CpmAntTokenizer":
        assert found.wordpiece_tokenizer.vocab is found.encoder
    if name != "CpmTokenizerFast":
        found.save_pretrained(tmp_path / "saved")
        again = getattr(transformers, name).from_pretrained(tmp_path / "saved")
        assert again("ab")["input_ids"] == words("ab")["input_ids"]


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["CpmTokenizer", "CpmTokenizerFast"])
def test_the_library_that_cuts_is_the_only_module_that_such_a_tokenizer_holds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = cutting(name, tmp_path)
    data = saver.dumps(words)
    words.jieba = json
    with pytest.raises(CannotSaveError, match="jieba is not the module rjieba"):
        saver.dumps(words)
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(IncompatibleError, match="rjieba"):
        saver.loads(data, trust=TRUST)
