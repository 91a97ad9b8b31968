"""Which libraries a file needs that are not installed here, and the line that installs them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec

from saver import registry
from saver.errors import IncompatibleError
from saver.registry import codec_root
from saver.tree import Node


def absent(roots: Iterable[str]) -> list[str]:
    """The names for pip of the libraries, among those that Saver's own families know under these packages or
    codec roots, that are not installed. Imports none of them."""
    own = {registry.family(root).packages[0] for root in roots if registry.is_own(root)}
    return sorted(registry.for_pip(package) for package in own if not _is_here(package))


def told(names: list[str]) -> str:
    """What is missing, and what to do: the end of a sentence that begins with who needs it."""
    return (
        f"{', '.join(names)}, which {'are' if len(names) > 1 else 'is'} not installed here: "
        f"pip install {' '.join(names)}"
    )


def absence(nodes: Iterable[Node], where: str, error: ImportError) -> IncompatibleError:
    """What to raise for an error about an import: an error that names all libraries which these nodes need
    and lack; if all are here, one that names the library whose modules cannot be imported."""
    roots = {codec_root(node.codec) for node in nodes}
    names = absent(roots)
    if names:
        return IncompatibleError(f"{where} needs {told(names)}")
    module = (error.name or "").removeprefix("saver.families.")
    name = registry.for_pip(module) or ", ".join(sorted(filter(None, map(registry.for_pip, roots))))
    return IncompatibleError(
        f"{where} needs {name}, which cannot be used here ({error}): "
        f"pip install --upgrade --force-reinstall {name}"
    )


def _is_here(package: str) -> bool:
    """Whether the package can be found; it may be broken."""
    if sys.modules.get(package) is not None:
        return True
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
