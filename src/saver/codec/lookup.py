"""Finds the codec of a class, and the codec that a file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType

from saver import registry
from saver.codec.contract import Codec
from saver.errors import Damaged, Unsupported
from saver.tree import Node, Ref, Tensor

_by_type: dict[type, Codec] = {}
_by_name: dict[str, Codec] = {}


def _module_root(cls: type) -> str:
    root = cls.__module__.partition(".")[0]
    return root if registry.known("codecs", root) else ""


def _load(module: ModuleType) -> Iterable[Codec]:
    codecs: tuple[Codec, ...] = module.CODECS
    for codec in codecs:
        _by_name[codec.name] = codec
    return codecs


def families(cls: type) -> Iterator[ModuleType]:
    """The codec modules that may know `cls`: of its own package first, then of its bases', then Python's."""
    roots = dict.fromkeys((*map(_module_root, cls.__mro__), "stdlib"))
    for root in filter(None, roots):
        yield registry.find("codecs", root)


def codec_for(cls: type) -> Codec | None:
    """The codec that takes direct instances of `cls`: the class's own family first, then its bases'."""
    found = _by_type.get(cls)
    if found is None:
        for module in families(cls):
            for codec in _load(module):
                if codec.accepts(cls):
                    _by_type[cls] = codec
                    return codec
    return found


def codec_named(name: str) -> Codec:
    """The codec called `name` in a file; Unsupported when there is none."""
    codec = _by_name.get(name)
    if codec is None:
        _load(registry.find("codecs", codec_root(name)))
        codec = _by_name.get(name)
    if codec is None:
        raise Unsupported(f"this Saver has no codec {name[:80]!r}; install a newer Saver to open the file")
    return codec


def codec_root(name: str) -> str:
    """The codec module that a codec's name belongs to; `list` is short for `builtins.list`."""
    root, dot, _ = name.partition(".")
    return root if dot else "builtins"


def forget_codecs() -> None:
    """Look every codec up anew; `@saver.register` changes what is accepted."""
    _by_type.clear()


def check(found: Iterable[Node | Tensor | Ref], names: Iterable[str], where: str) -> list[Node]:
    """The nodes among `found`, once every codec, tensor and node they need is known to be there.

    Builds and imports nothing.
    """
    nodes: list[Node] = []
    codecs: set[str] = set()
    tensors: set[str] = set()
    refs: set[int | str] = set()
    for item in found:
        if type(item) is Node:
            nodes.append(item)
            codecs.add(item.codec)
        elif type(item) is Tensor:
            tensors.add(item.name)
        elif type(item) is Ref:
            refs.add(item.id)
    for codec in sorted(codecs):
        if not registry.known("codecs", codec_root(codec)):
            raise Unsupported(
                f"{where} needs the codec {codec[:80]!r}, which is not installed; install the package "
                "that provides it, or a newer Saver"
            )
    for name in sorted(tensors.difference(names)):
        raise Damaged(f"{where} refers to the tensor {name[:80]!r}, which is not in the pack")
    for ident in sorted(map(str, refs.difference(node.id for node in nodes if node.id is not None))):
        raise Damaged(f"{where} refers to node {ident}, which is not there")
    return nodes
