"""The pack: a safetensors file that vouches for itself.

Layout (docs/format/ is the specification):

    8 bytes    length N of the header, little-endian
    N bytes    JSON header, padded with spaces so that the data begins on a multiple of 4096
    data       the tensors, without gaps

`__metadata__` begins with `saver.header`, the BLAKE3 of everything before the data, computed with zeros in
place of that hash; `saver` holds format, id, and the BLAKE3 of every tensor. So the header vouches for all.
"""

from __future__ import annotations

from saver.pack.layout import Describe
from saver.pack.read import Pack
from saver.pack.source import PackedTensors
from saver.pack.verify import Range, damaged
from saver.pack.write import PackWriter
from saver.storage import Progress

__all__ = ["Describe", "Pack", "PackWriter", "PackedTensors", "Progress", "Range", "damaged"]
