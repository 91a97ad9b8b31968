"""Folders of Hugging Face: `config.json`, and weights in one or several safetensors files with an index.

The files are those that `save_pretrained` of transformers writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from blake3 import blake3

from saver.errors import IncompatibleError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of
from saver.formats._opening import Tree, dict_of, opened_parts, tree_of
from saver.formats.safetensors import content, fits, tensors_of
from saver.opened import Opened
from saver.pack.read import read_header
from saver.storage import Blob, Bytes, Progress
from saver.strict import strict_json
from saver.tensors import TensorInfo
from saver.tree import Node, Reference, Value

SHARD = 5_000_000_000
"""Bytes of tensors in a file, as in transformers; a tensor is never cut."""

SHARDS = 10_000
_VALUES, _DEPTH = 1_000_000, 50
"""Of a configuration."""

_CONFIG, _INDEX, _WHOLE = "config.json", "model.safetensors.index.json", "model.safetensors"
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


class HuggingFace(Reads, Writes):
    """A folder with a configuration and weights."""

    name = "huggingface"
    title = "a folder of Hugging Face"

    def recognizes(self, blob: Blob) -> bool:
        """Whether it is the index of such a folder."""
        start = blob.read(0, 1)
        return start == b"{" and blob.size < 64 << 20 and b'"weight_map"' in blob.read()

    def first_of(self, path: str) -> str | None:
        """The index, or the only file, of a folder that has a configuration."""
        if not os.path.isfile(os.path.join(path, _CONFIG)):
            return None
        names = (os.path.join(path, name) for name in (_INDEX, _WHOLE))
        return next(filter(os.path.isfile, names), None)

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The configuration as the part `config`, a dict, and the weights as the part `model`, a dict of
        tensors. Other files of the folder, such as those of a tokenizer, are not read."""
        if beside is None:
            raise IncompatibleError(
                f"{blob.name}: its tensors are in other files; pass the path of the folder"
            )
        single = blob.read(0, 1) != b"{"
        shards = {blob.name: None} if single else _shards(blob)
        infos, values, package = dict[str, TensorInfo](), dict[str, Value](), "numpy"
        blobs = dict[str, Blob]()
        for name, expected in shards.items():
            shard = blob if single else beside(name)
            found, own, needs = tensors_of(shard, read_header(shard))
            if expected is not None and own.keys() != expected:
                raise IncompatibleError(f"{blob.name}: {name[:80]!r} has other tensors than the index says")
            infos, values, package = infos | found, values | own, max(needs, package)
            blobs[shard.name] = shard
        text = beside(_CONFIG).read()
        config = tree_of(strict_json(text, _CONFIG), _CONFIG)
        parts = {"config": Tree(config, {}, ()), "model": Tree(dict_of(values), {}, (package,))}
        size = len(text) + blob.size + sum(each.size for each in blobs.values())
        return opened_parts(parts, infos, blobs, blob.name, size, blake3(blob.read(0, 1 << 20)).hexdigest())

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write a model of transformers; or what was read from such a folder, whose parts are `config` and
        another one."""
        opened = chosen.opened
        weights = [part for part in chosen.parts if part != "config"]
        if len(weights) != 1:
            raise IncompatibleError(
                f"{opened.where}: there are {len(weights)} parts in it, and a folder of Hugging Face "
                "holds one model; choose that part"
            )
        config = _config(opened, weights[0])
        arrays = arrays_of(Chosen(opened, (weights[0],))).of(fits).some(opened.where, self.title)
        dtypes = [each.array.form.name for each in arrays.found if each.array.form.name in _DTYPES]
        if dtypes and config.get("dtype") is None and config.get("torch_dtype") is None:
            config["dtype"] = _DTYPES[dtypes[0]]
        _write(opened, arrays.found, out, progress)
        out.add(f"/{_CONFIG}", Bytes(_json(config)))
        return arrays.losses


FORMAT = HuggingFace()


def _write(opened: Opened, found: Sequence[Named], out: Out, progress: Progress | None) -> None:
    shards = [list[Named]()]
    for each in found:
        if shards[-1] and sum(one.array.length for one in shards[-1]) + each.array.length > SHARD:
            shards.append([])
        shards[-1].append(each)
    if len(shards) == 1:
        out.add(f"/{_WHOLE}", content(opened, found, progress))
        return
    places = dict[str, str]()
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        places |= {each.name: name for each in shard}
        out.add(f"/{name}", content(opened, shard, progress))
    total = sum(each.array.length for each in found)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    out.add(f"/{_INDEX}", Bytes(_json(index)))


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def _shards(blob: Blob) -> dict[str, set[str]]:
    """The files that an index names, and the tensors that it says are in each."""
    document = strict_json(blob.read(), blob.name)
    places = document.get("weight_map") if type(document) is dict else None
    if type(places) is not dict or not all(type(name) is str for name in places.values()):
        raise IncompatibleError(f"{blob.name}: this is not the index of a folder of Hugging Face")
    found: dict[str, set[str]] = {}
    for tensor, name in places.items():
        found.setdefault(name, set()).add(tensor)
    if len(found) > SHARDS:
        raise IncompatibleError(f"{blob.name}: it names {len(found):,} files, more than {SHARDS:,}")
    return found


def _config(opened: Opened, part: str) -> dict[str, Any]:
    """The configuration of a model, as `config.json` has it."""
    if "config" in opened.trees:
        found = _Json(opened).value(opened.tree("config").root)
        if type(found) is dict:
            return found
    root: Any = _resolved(opened.tree(part).root, opened)
    attributes = root.state.get("attributes") if type(root) is Node and type(root.state) is dict else None
    node = _resolved(attributes.get("config"), opened) if type(attributes) is dict else None
    if type(node) is not Node or node.codec != "transformers.object":
        raise IncompatibleError(
            f"{opened.where}: the part {part!r} is not a model of transformers, so there is no "
            "configuration for config.json; write a safetensors file instead"
        )
    made: dict[str, Any] = _Json(opened).value(node)
    if not made.get("architectures") and root.cls:
        made["architectures"] = [root.cls.rpartition(":")[2]]
    version = opened.manifest.environment.get("packages", {}).get("transformers")
    return made | ({"transformers_version": version} if version else {})


def _resolved(value: Any, opened: Opened) -> Any:
    return opened.nodes.get(value.id) if type(value) is Reference else value


class _Json:
    """The values of a configuration in JSON; None for what has no form there."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._left = _VALUES

    def value(self, value: Any, depth: int = 0) -> Any:
        """Recursive: one call for each level."""
        self._left -= 1
        value = _resolved(value, self._opened)
        if self._left < 0 or depth > _DEPTH:
            raise IncompatibleError(f"{self._opened.where}: its configuration is too large, or too deep")
        if type(value) is not Node:
            return value if value is None or type(value) in (bool, int, float, str) else None
        state = value.state
        if value.codec == "transformers.object":
            state = state[0] if type(state) is list and state else state
            return self._object(state, value.cls or "", depth) if type(state) is dict else None
        if value.codec == "torch.constant" and type(state) is str:
            return state.removeprefix("torch.")
        if value.codec in ("list", "tuple", "set") and type(state) is list:
            return [self.value(item, depth + 1) for item in state]
        if value.codec in ("dict", "stdlib.OrderedDict"):
            return self._dict(state, depth)
        return None

    def _object(self, state: dict[str, Any], cls: str, depth: int) -> dict[str, Any]:
        items = {key: item for key, item in state.items() if key[:1] != "_" or key == "_name_or_path"}
        found = {key: self.value(item, depth + 1) for key, item in items.items()}
        return found | {"model_type": _model_type(cls)}

    def _dict(self, state: Any, depth: int) -> Any:
        pairs: Any = state.items() if type(state) is dict else None
        if type(state) is list and len(state) == 2 and all(type(each) is list for each in state):
            pairs = zip(*state, strict=False)
        return None if pairs is None else {str(key): self.value(item, depth + 1) for key, item in pairs}


def _model_type(cls: str) -> str:
    """What transformers calls a configuration's kind, by the name of its class."""
    module, _, name = cls.partition(":")
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    except ImportError:
        return module.split(".")[-2] if module.count(".") > 1 else ""
    kinds = [kind for kind, each in CONFIG_MAPPING_NAMES.items() if each == name]
    own = [kind for kind in kinds if kind.replace("-", "_") in module.split(".")]  # some share a class
    return str((own or kinds or [""])[0])


def suited(opened: Opened) -> tuple[str, str] | None:
    """The format and the part in which the libraries of Hugging Face read a version: such a folder for a
    model of transformers, safetensors for another module of PyTorch. None if they read nothing of it."""
    parts = sorted((part for part in opened.trees if part != "config"), key=lambda part: part != "model")
    for part in parts:
        with suppress(IncompatibleError):
            _config(opened, part)
            return FORMAT.name, part
    modules = [part for part in parts if _is_module(opened.tree(part).root)]
    return ("safetensors", modules[0]) if modules and (len(modules) == 1 or "model" in modules) else None


def _is_module(root: Any) -> bool:
    return type(root) is Node and root.codec == "torch.Module"
