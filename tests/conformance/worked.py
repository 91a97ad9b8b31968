# ruff: noqa: E501
"""Writes docs/format/example.md, a file and a store of two records byte by byte: python tests/conformance/worked.py"""

from __future__ import annotations

import json
from pathlib import Path

from layer1 import F64, one
from layer5 import TAG, TREE, store
from pieces import canonical, hash_of

PAGE = Path(__file__).parents[2] / "docs" / "format" / "example.md"


def dump(data: bytes, at: int = 0) -> str:
    """Bytes in hexadecimal, 16 a line; lines of spaces alone are left out."""
    lines, left = [], 0
    for place in range(0, len(data), 16):
        line = data[place : place + 16]
        if not line.strip(b" "):
            left += 1
            continue
        if left:
            lines.append(f"          {left} lines of spaces (20)")
        left = 0
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        lines.append(f"{at + place:08x}  {line.hex(' '):<47}  {text}")
    return "\n".join("    " + line for line in lines)


def block(text: str) -> str:
    """A long text, as code in lines of 120 characters; their ends do not belong to it."""
    return "\n".join("    " + text[at : at + 110] for at in range(0, len(text), 110))


def page() -> str:
    raw = one().bytes()
    content = canonical([TREE, {}])
    held = f'["{hash_of(content.encode())}",[["model","F64",[2,3],"{hash_of(F64)}"]]]'
    digest = raw[41:105].decode()
    zeroed = raw[:41] + b"0" * 64 + raw[105:4096]
    assert hash_of(zeroed) == digest
    assert json.loads(json.loads(raw[8:4096])["__metadata__"]["saver.manifest"])["parts"]["model"][
        "hash"
    ] == hash_of(held.encode())
    made = store().record(TAG)
    (key,) = (key for key in made.objects if key.startswith("manifests/"))
    manifest = made.objects[key].decode()
    records = [record.decode() for record in made.records]
    shown = []
    for number, record in enumerate(records, 1):
        zero = record.replace(json.loads(record)["hash"], "0" * 64, 1)
        shown.append(
            f"`log/{number:020}.json` is\n\n{block(record)}\n\nIts `hash` is the BLAKE3 of the same text with 64 zeros:\n\n"
            f"{block(zero)}\n\n    BLAKE3 = {hash_of(zero.encode())}\n"
        )
    form = made.objects["store.json"].decode()
    return f"""# An example, byte by byte

`tests/conformance/worked.py` makes this page, and a test compares the two.

## A file

A NumPy array of two rows of three ones. The first 8 bytes say N = {len(raw) - 8 - len(F64):,}, so the data begins at byte 4,096:

{dump(raw)}

**The tensor**, from byte 4,096 on, has 48 bytes. Their BLAKE3 is the first of `hashes`:

    {hash_of(F64)}

**The content of the part** is the BLAKE3 of `[tree,batches]`, as canonical JSON:

{block(content)}

    BLAKE3 = {hash_of(content.encode())}

**The hash of the part** is the BLAKE3 of that, and of the tensor's name, dtype, shape and hash:

{block(held)}

    BLAKE3 = {hash_of(held.encode())}

**The hash of the header** is the BLAKE3 of bytes 0 to 4,095 with 64 characters `0` in place of the digits in bytes 41 to 104:

    {digest}

## A store of two records

The same array as version 1 of the model `m`, and then the tag `best` for it. `store.json`:

{block(form)}

`packs/0123456789abcdef0123456789abcdef.safetensors` is the file above without its manifest. `{key}`, whose name is the
BLAKE3 of its bytes, is

{block(manifest)}

{shown[0]}
{shown[1]}
The second record's `previous` is the hash of the first. Through it, the second hash vouches for both, and through `manifest` for the version.
"""


if __name__ == "__main__":
    PAGE.write_text(page())
