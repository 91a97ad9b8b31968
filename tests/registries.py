"""OCI registries for tests: Debian's, as a process, and one in this process that can fail, lie and count."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from serving import PATIENCE, Handler, Server, serving

WEIGHTS = np.random.default_rng(5).normal(size=400_000)
"""Most of the bytes of the versions of these tests."""


@contextmanager
def debian(folder: Path) -> Iterator[str]:
    """The address of a `docker-registry` that keeps everything in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n"
        f"http:\n  addr: 127.0.0.1:{port}\n"
    )
    program = shutil.which("docker-registry")
    assert program is not None
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Fake(Server):
    """A registry in memory."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.uploads: dict[str, bytes] = {}

    def uploaded(self) -> list[str]:
        """The digests of the blobs that were sent, in order."""
        calls = map(unquote, self.calls)
        return [found[1] for call in calls if (found := re.search(r"PUT .*digest=(sha256:\w+)", call))]

    def put(self, tag: str, manifest: Any) -> None:
        """Give a manifest a tag."""
        body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        self.manifests[digest(body)] = body
        self.tags[tag] = digest(body)

    def manifest(self, tag: str) -> Any:
        return json.loads(self.manifests[self.tags[tag]])

    def add(self, data: bytes) -> dict[str, Any]:
        """A blob, and its descriptor."""
        self.blobs[digest(data)] = data
        return {"mediaType": "x/y", "digest": digest(data), "size": len(data)}


@contextmanager
def fake() -> Iterator[Fake]:
    """A registry in memory, which serves as long as the context lasts."""
    with serving(Fake()) as server:
        yield server


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Handler(Handler):
    server: Fake

    def act(self, body: bytes) -> None:
        server = self.server
        url = urlsplit(self.path)
        what, _, name = url.path.removeprefix("/v2/").rpartition("/")
        kind = what.rpartition("/")[2]
        wanted = parse_qs(url.query).get("digest", [""])[0]
        if what.endswith("/blobs/uploads"):
            self._upload(name, body, wanted)
        elif kind == "blobs":
            found = server.blobs.get(name)
            self.answer(404) if found is None else self.answer(200, found)
        elif kind == "manifests" and self.command == "PUT":
            server.manifests[digest(body)] = body
            server.tags[name] = digest(body)
            self.answer(201, Docker_Content_Digest=digest(body))
        elif kind == "manifests":
            manifest = server.manifests.get(server.tags.get(name, name))
            if manifest is None:
                self.answer(404)
            else:
                self.answer(200, manifest, Docker_Content_Digest=digest(manifest))
        elif kind == "tags":
            self.answer(200, json.dumps({"name": what, "tags": [*server.tags]}).encode())
        else:
            self.answer(404)

    def _upload(self, name: str, body: bytes, wanted: str) -> None:
        path = urlsplit(self.path).path
        if self.command == "POST":
            ident = str(len(self.server.uploads))
            self.server.uploads[ident] = b""
            self.answer(202, Location=f"{path}{ident}")
            return
        whole = self.server.uploads.get(name, b"") + body
        self.server.uploads[name] = whole
        if self.command == "PATCH":
            self.answer(202, Location=path)
        elif digest(whole) == wanted:
            self.server.blobs[wanted] = whole
            self.answer(201)
        else:
            self.answer(400)
