"""Layers models of TensorFlow.js: a folder with `model.json` and the weights beside it, written and read
without TensorFlow. What is read becomes a model of Keras if all its layers are known, and a dict if not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of, numpy_dtype, widenings
from saver.formats._opening import Tree, dict_of, opened_parts, opened_value, tree_of
from saver.formats.tfjs import weights
from saver.formats.tfjs.calls import Unknown
from saver.formats.tfjs.reading import model_of
from saver.formats.tfjs.writing import Topology
from saver.opened import Opened
from saver.stack import anywhere
from saver.storage import Blob, Bytes, Progress
from saver.strict import strict_json
from saver.tree import Node, Tensor

_MODEL = "model.json"
_LARGEST = 256 << 20


class TensorFlowJs(Reads, Writes):
    """A folder with a topology and weights."""

    name = "tfjs"
    title = "a layers model of TensorFlow.js"

    def recognizes(self, blob: Blob) -> bool:
        """Whether it is the `model.json` of such a folder."""
        if blob.read(0, 1) not in (b"{", b" ", b"\n") or blob.size > _LARGEST:
            return False
        text = blob.read()
        return b'"weightsManifest"' in text and b'"modelTopology"' in text

    def first_of(self, path: str) -> str | None:
        """The `model.json` of a folder."""
        found = os.path.join(path, _MODEL)
        return found if os.path.isfile(found) else None

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """A model of Keras, whose layers begin as they were saved; or, if some are not known, the parts
        `topology`, a dict, and `weights`, a dict of arrays."""
        if beside is None:
            raise IncompatibleError(
                f"{blob.name}: its weights are in other files; pass the path of the folder"
            )
        text = blob.read()
        document = strict_json(text, blob.name)
        topology = document.get("modelTopology") if type(document) is dict else None
        if type(topology) is not dict or document.get("format", "layers-model") != "layers-model":
            raise IncompatibleError(
                f"{blob.name}: this is not a layers model of TensorFlow.js; a graph model is made of "
                "TensorFlow's operations, of which nothing but TensorFlow.js makes a model again"
            )
        found = weights.Read(blob)
        found.add(document.get("weightsManifest", []), beside)
        digest = blake3(text).hexdigest()
        try:
            root = anywhere(model_of, topology, found.infos)
        except (Unknown, RecursionError):
            arrays = {
                name: Node("numpy.array", state=Tensor(info.name)) for name, info in found.infos.items()
            }
            parts = {
                "topology": Tree(tree_of(topology, blob.name), {}, ()),
                "weights": Tree(dict_of(arrays), {}, ("numpy",)),
            }
            infos = {info.name: info for info in found.infos.values()}
            return opened_parts(parts, infos, found.blobs, blob.name, found.size, digest)
        infos = {info.name: info for info in found.infos.values()}
        return opened_value(root, infos, found.blobs, ("keras",), blob.name, found.size, digest)

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write a Sequential or Functional model of Keras."""
        opened, part = chosen.opened, chosen.parts[0]
        root: Any = opened.tree(part).root
        if len(chosen.parts) != 1 or type(root) is not Node or root.codec != "keras.layer":
            raise IncompatibleError(
                f"{opened.where}: {self.title} is one model of Keras; choose the part that is one"
            )
        arrays = dict[str, dict[str, Named]]()
        for each in arrays_of(chosen).found:
            if len(each.steps) == 3 and each.steps[0] == "variables" and numpy_dtype(each.array) is not None:
                arrays.setdefault(each.steps[1], {})[each.steps[2]] = each
        topology, state = Topology(arrays, opened.where), root.state
        try:
            config = anywhere(topology.of, state["config"], part)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, SaverError):
                raise
            raise IncompatibleError(
                f"{opened.where}: the configuration of its model is not one that Keras writes: {error!r:.200}"
            ) from None
        manifest = weights.write(opened, topology.weights, out, progress)
        version = opened.manifest.environment.get("packages", {}).get("keras", "3")
        document = {
            "format": "layers-model",
            "generatedBy": f"keras v{version}",
            "convertedBy": "Saver",
            "modelTopology": {"keras_version": version, "backend": "tensorflow", "model_config": config},
            "weightsManifest": manifest,
        }
        out.add(f"/{_MODEL}", Bytes(json.dumps(document, allow_nan=False).encode()))
        return [*topology.losses, *_lost(state, part), *widenings([each.array for each in topology.weights])]


FORMAT = TensorFlowJs()


def _lost(state: Any, part: str) -> list[Loss]:
    """What a model has that is not among its layers and weights."""
    said = {
        "compiled": "how it is compiled",
        "optimizers": "the state of its optimizer",
        "generators": "where its random generators are",
    }
    return [Loss(f"$.{part}", what) for field, what in said.items() if state.get(field)]
