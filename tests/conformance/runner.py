"""Saver as a program of the protocol in README.md: python tests/conformance/runner.py FILE"""

from __future__ import annotations

import json
import sys
from typing import Any

from neutral import described

import saver
from saver.errors import IncompatibleError, SaverError
from saver.file import open_file
from saver.opened import open_version


class _Read:
    """A file as Saver reads it."""

    def __init__(self, opened: Any) -> None:
        written = opened.written
        opened.tensors.verify(None, None)
        self.tensors = {
            name: (info.dtype, list(info.shape), opened.tensors.read(name).tobytes())
            for name, info in ((name, opened.tensors.info(name)) for name in opened.tensors.names)
        }
        parts: dict[str, Any] = {
            name: {
                "hash": part.hash,
                "tree": json.loads(bytes(part.tree)),
                "batches": {batch: json.loads(bytes(raw)) for batch, raw in part.batches.items()},
            }
            for name, part in written.parts.items()
        }
        self.manifest: dict[str, Any] = {"parts": parts, "whole": written.whole}
        names = sorted(parts, key=lambda name: name.encode("utf-16-be"))
        if names != list(parts):
            self.manifest["order"] = [names.index(name) for name in parts]


def structure(file: str, key: str = "") -> dict[str, Any]:
    """What a sound file holds, without the libraries of its objects: nothing is built."""
    return described(_Read(open_file(file, key=key or None)))


def verdict(file: str, version: str = "", key: str = "") -> dict[str, Any]:
    """What Saver says of a file, or a version of a store; `key` is the path of an identity that opens it."""
    try:
        if version:
            store = saver.Saver(file, key=key or None)
            store.load(version)
            repo = store._repo
            return described(_Read(open_version(repo, repo.version(version))))
        saver.load(file, key=key or None)
        return described(_Read(open_file(file, key=key or None)))
    except IncompatibleError as error:
        if error.rule is None and "which is not installed here" in str(error):
            return {"verdict": "unsupported", "needs": str(error)}
        return {"verdict": "invalid", "rule": error.rule, "error": error.code, "message": str(error)}
    except SaverError as error:
        return {"verdict": "invalid", "rule": error.rule, "error": error.code, "message": str(error)}


if __name__ == "__main__":
    if sys.argv[1:] == ["--stdin"]:
        for line in sys.stdin:
            print(json.dumps(verdict(*line.rstrip("\n").split("\t"))), flush=True)
    else:
        print(json.dumps(verdict(*sys.argv[1:])))
