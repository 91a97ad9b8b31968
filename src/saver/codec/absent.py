"""Which libraries a file needs that are not installed here, and the line that installs them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec

from saver import registry
from saver.errors import IncompatibleError
from saver.family import Family
from saver.registry import codec_root


def absent(roots: Iterable[str]) -> list[str]:
    """The names for pip of the libraries, among those that Saver's own families know under these packages or
    codec roots, that are not installed. Imports none of them."""
    families = {registry.family(root).name: registry.family(root) for root in roots if registry.is_own(root)}
    return [_for_pip(family) for _, family in sorted(families.items()) if not _is_here(family.packages[0])]


def told(names: list[str]) -> str:
    """What is missing, and what to do: the end of a sentence that begins with who needs it."""
    return (
        f"{', '.join(names)}, which {'are' if len(names) > 1 else 'is'} not installed here: "
        f"pip install {' '.join(names)}"
    )


def not_importable(codec: str, codecs: Iterable[str], error: ImportError, where: str) -> IncompatibleError:
    """The error for a codec whose module cannot be imported: it names all that `codecs` need and lack."""
    names = absent(map(codec_root, codecs))
    if names:
        return IncompatibleError(f"{where} needs {told(names)}")
    name = _for_pip(registry.family(codec_root(codec)))
    return IncompatibleError(
        f"{where} needs {name}, which cannot be used here ({error}): "
        f"pip install --upgrade --force-reinstall {name}"
    )


def _for_pip(family: Family) -> str:
    return family.distribution or family.packages[0]


def _is_here(package: str) -> bool:
    """Whether the package can be found; it may be broken."""
    if sys.modules.get(package) is not None:
        return True
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
