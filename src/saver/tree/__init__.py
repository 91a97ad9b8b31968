"""Values as data that cannot run.

A *tree* describes an object with seven things only: the JSON scalars, `Node`, `Tensor`, `Reference`, and the
lists and string-keyed dicts that a node's state is made of. As JSON:

    Node    {"$": "numpy.array", "class": …, "v": 2, "id": 7, "state": …}
    Tensor  {"$tensor": "model/coef_"}
    Reference     {"$ref": 7, "part": …}         another reference to the node with that id

A list or dict in a tree is structure that belongs to the node around it; the user's own lists and
dicts are nodes, so that they can be shared and take part in cycles.

The JSON is canonical (RFC 8785), which sorts keys and writes 1.0 as 1. What that loses is kept beside it:

    dict    {"$order": [1, 0], "a": …, "b": …}     was b, a: the place of each key among the sorted ones
    float   {"$float": 1}, {"$float": "-0"}        1.0, -0.0: floats that would be read as integers
"""

from __future__ import annotations

from saver.tree.parsing import Shapes, parse
from saver.tree.values import (
    EXACT_INTEGER,
    MAX_JSON_DEPTH,
    MAX_OBJECT_DEPTH,
    SCALARS,
    Item,
    Node,
    Reference,
    Scalar,
    Tensor,
    Value,
    encodable,
    reserved,
    settle,
    walk,
)
from saver.tree.writing import to_json

__all__ = [
    "EXACT_INTEGER",
    "MAX_JSON_DEPTH",
    "MAX_OBJECT_DEPTH",
    "SCALARS",
    "Item",
    "Node",
    "Reference",
    "Scalar",
    "Shapes",
    "Tensor",
    "Value",
    "encodable",
    "parse",
    "reserved",
    "settle",
    "to_json",
    "walk",
]
