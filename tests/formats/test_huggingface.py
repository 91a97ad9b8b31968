"""Folders of Hugging Face: transformers loads those that are written, and they are read without it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, all_same

import saver
from saver.errors import CannotWriteError, IncompatibleError, SaverError
from saver.formats import huggingface
from saver.storages.memory import MemoryStorage

safetensors = pytest.importorskip("safetensors.numpy")

CONFIG = {"model_type": "x", "sizes": [1, 2, {"a": None}], "id2label": {"0": "ü"}, "$odd": 0.5}


def folder(path: Path, shards: int = 2) -> Path:
    """A folder as transformers writes it, with its tensors in so many files."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    names = list(ARRAYS)
    places = {name: f"model-{at % shards + 1:05}-of-{shards:05}.safetensors" for at, name in enumerate(names)}
    for file in set(places.values()):
        own = {name: np.ascontiguousarray(ARRAYS[name]).reshape(ARRAYS[name].shape)
               for name in names if places[name] == file}  # fmt: skip
        safetensors.save_file(own, path / file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return path


def test_a_folder_is_its_configuration_and_its_tensors(tmp_path: Path) -> None:
    found = saver.load(folder(tmp_path / "hf"))
    assert found["config"] == CONFIG
    assert all_same(found["model"], ARRAYS)
    assert saver.load(tmp_path / "hf" / "model.safetensors.index.json")["config"] == CONFIG


@pytest.mark.parametrize("size", [1, 2000, 1 << 40])
@pytest.mark.shows("Hugging Face folders", "load")
def test_it_goes_there_and_back_in_any_number_of_files(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "SHARD", size)
    store = saver.Saver(MemoryStorage())
    store.import_(folder(tmp_path / "hf"), "net")
    found = store.export("net", tmp_path / "out", format="huggingface")
    assert found.bytes == sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert json.loads((tmp_path / "out" / "config.json").read_text()).items() >= CONFIG.items()
    names = {file.name for file in (tmp_path / "out").glob("*.safetensors")}
    judged: dict[str, Any] = {}
    for name in names:
        judged |= safetensors.load_file(tmp_path / "out" / name)
    assert all_same(judged, ARRAYS)
    assert names == {"model.safetensors"} or len(names) > 2
    assert all_same(saver.load(tmp_path / "out")["model"], ARRAYS)


def test_a_folder_that_is_not_empty_stays(tmp_path: Path) -> None:
    saver.export(folder(tmp_path / "hf"), tmp_path / "a.saver")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(CannotWriteError, match="not empty"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="huggingface")
    assert os.listdir(tmp_path / "out") == ["mine"]
    (tmp_path / "out" / "mine").unlink()
    saver.export(tmp_path / "a.saver", tmp_path / "out", format="huggingface")
    assert "config.json" in os.listdir(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a.saver", "hf", "out"]


def test_what_is_not_a_model_of_transformers_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    saver.dump({"a": np.ones(3), "b": np.ones(3)}, tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="holds one"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="huggingface")
    with pytest.raises(IncompatibleError, match=r"no configuration for config\.json"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="huggingface", parts=["a"])
    assert os.listdir(tmp_path) == ["a.saver"]


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "x\0y", "..\\x", "gone"],
)
def test_no_file_outside_of_the_folder_is_opened(name: str, tmp_path: Path) -> None:
    safetensors.save_file(ARRAYS, tmp_path / "secret.safetensors")
    (folder(tmp_path / "hf") / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(ARRAYS, name)})
    )
    with pytest.raises(SaverError):
        saver.load(tmp_path / "hf")


@pytest.mark.parametrize(
    "index",
    [
        "[]", "{", '{"weight_map": []}', '{"weight_map": {"x": 1}}', '{"weight_map": {"x": "config.json"}}',
        '{"weight_map": {"weight": "model-00001-of-00002.safetensors"}}',
        '{"weight_map": {}, "weight_map": {}}',
        json.dumps({"weight_map": {f"x{number}": f"f{number}" for number in range(10_001)}}),
    ],
    ids=range(8),
)  # fmt: skip
def test_an_index_that_is_wrong_is_refused(index: str, tmp_path: Path) -> None:
    (folder(tmp_path / "hf") / "model.safetensors.index.json").write_text(index)
    with pytest.raises(SaverError):
        saver.load(tmp_path / "hf")


@pytest.mark.shows("Hugging Face folders", "save")
def test_transformers_loads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    monkeypatch.setattr(huggingface, "SHARD", 20_000)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "vocab_size": 30}
    models = [
        transformers.BertForSequenceClassification(
            transformers.BertConfig(intermediate_size=8, max_position_embeddings=12, num_labels=3, **sizes)
        ),
        transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=30)),
        transformers.LlamaForCausalLM(transformers.LlamaConfig(intermediate_size=8, **sizes)).bfloat16(),
    ]
    for number, model in enumerate(models):
        model.eval()
        saver.dump({"model": model, "step": 1}, tmp_path / "a.saver")
        place = tmp_path / str(number)
        saver.export(tmp_path / "a.saver", place, format="huggingface", parts=["model"])
        ids = torch.arange(10)[None]
        for load in (type(model), transformers.AutoModel):
            loaded = load.from_pretrained(place)
            assert loaded.config.model_type == model.config.model_type
        loaded = type(model).from_pretrained(place).eval()
        assert loaded.dtype == model.dtype
        assert torch.equal(loaded(ids).logits, model(ids).logits)
        again = saver.load(place)["model"]
        assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())
