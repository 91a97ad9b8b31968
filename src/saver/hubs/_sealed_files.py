"""The files of a version on the Hugging Face Hub that only some can open: `model.saver`, a sealed file;
`saver.sealed`, with what `saver.json` says otherwise; and two that say how to open them, and nothing else."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from blake3 import blake3

from saver.admission import into_hub
from saver.canonical import canonical
from saver.disk import mapped
from saver.disk.durable import NewFile
from saver.hubs._provenance import LARGEST, Provenance, encoded, write_saver
from saver.hubs._scratch import made, open_text, removed, written
from saver.hubs._sealed import own_keys
from saver.opened import Opened
from saver.opening import open_blob
from saver.repo.version import Version
from saver.sealing import Sealer
from saver.sealing import opened as unsealed
from saver.storage import Bytes
from saver.strict import strict_json

FILE, DOCUMENT, WITHIN, CARD = "model.saver", "saver.json", "saver.sealed", "README.md"

SEALED = {"format": 2, "saver": FILE, "sealed": WITHIN}
"""What `saver.json` says then."""

README = """\
---
library_name: saver
tags:
- saver
---

# A sealed version

What is here is encrypted: it opens for those for whom it was sealed, and tells others nothing but its size.

```sh
pip install 'saver-ml[encryption,hub]'
saver pull MODEL {place} --key FILE
```
"""


def is_of_sealed(data: bytes, where: str) -> bool:
    """Whether an untrusted `saver.json` says that the rest is sealed."""
    return bool(strict_json(data, where) == SEALED)


def write_sealed(
    folder: str, opened: Opened, version: Version, sealer: Sealer, said: Provenance, place: str
) -> None:
    """Write all files of a version to a folder, where nothing of it is in clear, unless a push that broke off
    left all of them there. `said` is what is said of the version, without the hash, which is in the files."""
    mark = f"{folder}.list"
    if not os.path.exists(mark) or open_text(mark) != _listed(folder):
        removed(folder)
        _seal(folder, opened, version, sealer, said)
        written(os.path.join(folder, CARD), README.format(place=place).encode())
        written(mark, _listed(folder).encode())


def _listed(folder: str) -> str:
    """The hash and the name of each file of a folder."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = [f"{blake3().update_mmap(os.path.join(folder, name)).hexdigest()} {name}" for name in names]
    return "\n".join(found)


def _seal(folder: str, opened: Opened, version: Version, sealer: Sealer, said: Provenance) -> None:
    """Write the files of a version that a pull reads."""
    made(folder)
    path = os.path.join(folder, FILE)
    write_saver(path, opened, version, sealer.content)
    digest = open_blob(sealer.opened(mapped.open_file(path))).hash
    content = sealer.content(Bytes(encoded(msgspec.structs.replace(said, hash=digest))))
    with NewFile(os.path.join(folder, WITHIN), content.size) as file:
        content.write(file)
        file.commit()
    written(os.path.join(folder, DOCUMENT), canonical(SEALED, False) + b"\n")


def opened_document(path: str, key: Any, place: str) -> bytes:
    """What is in the sealed `saver.sealed` of a repository. Raises KeyNeededError and WrongKeyError."""
    ways_in = into_hub(place)
    return unsealed(mapped.open_file(path, place), own_keys(key, place, ways_in), ways_in).read(0, LARGEST)
