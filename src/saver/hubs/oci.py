"""OCI registries: `oci://host/name:tag`, through `oras`. See docs/sharing.md.

What a tag names is a whole store, which holds what was pushed, each of its objects as a layer. So a push is
one to that store, of which only new objects are sent, and a pull one from it. The manifest is sent last, and
only it makes the rest visible.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from saver.errors import (
    CannotWriteError,
    DamagedError,
    IncompatibleError,
    NotFoundError,
    SaverError,
    quoted,
)
from saver.hub import Hub, warn_of_clear
from saver.hubs._artifact import NOTHING, Artifact, Layer, decoded, digest_of, encoded
from saver.hubs._founding import Continuing
from saver.hubs._scratch import scratch, written
from saver.hubs._sealed import place_for
from saver.hubs._snapshot import Snapshot, to_send
from saver.logger import logger
from saver.pushing import Pushed, demand_prefix, push, there
from saver.repo import changing
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.sealing import Founder, keys_of
from saver.storage import Content, Progress, Storage
from saver.storages.sealed import SealedStorage

SCHEME = "oci://"

_is_host = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
).fullmatch
_is_local = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?").fullmatch
_is_name = re.compile(
    r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
).fullmatch
_is_tag = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}").fullmatch
_is_digest = re.compile(r"sha256:[0-9a-f]{64}").fullmatch

CANDIDATES = 8
"""So many other tags are looked at for objects that the registry has already."""


class Registry(Hub):
    """A tag, or a digest, of a repository of a registry."""

    def __init__(self, host: str, name: str, reference: str, insecure: bool) -> None:
        mark = "@" if _is_digest(reference) else ":"
        self._shown = f"{SCHEME}{host}/{name}{mark}{reference}"
        self._reference = reference
        try:
            from saver.hubs._registry import Remote
        except ModuleNotFoundError as error:
            raise IncompatibleError(
                f"{SCHEME} needs the package oras, which cannot be imported here ({error}); "
                "pip install 'saver-ml[hub]'"
            ) from None
        self._remote = Remote(self._shown, host, name, insecure)

    def __str__(self) -> str:
        return self._shown

    def push(
        self, source: Repository, ref: str | Version, model: str | None = None, *, history: bool = True,
        tags: bool = True, progress: Progress | None = None, to: Any = None, key: Any = None,
    ) -> Pushed:  # fmt: skip
        if _is_digest(self._reference):
            raise CannotWriteError(f"{self}: a digest names what it is for ever; push to a tag: name:tag")
        wanted = changing.find(source, ref)
        name = wanted.model if model is None else model
        found = self._artifact(self._reference)
        base = found or (None if to is not None else self._like(source, wanted, name, history))
        key, founder = keys_of(key), None if to is None else Founder(to, lambda: source.author, str(self))
        mark = "" if founder is None else founder.mark(f"{self} {source.format().id}")
        state = "\n".join((base.digest if base else "", source.format().id, wanted.manifest, name, mark))
        with scratch(f"push {self}", state) as folder:
            snapshot = self._snapshot(base, folder)
            if base is None and founder is not None:
                begun = Continuing(founder, os.path.join(folder, "keys"), source.storage.mask)
                place: Storage = SealedStorage(snapshot, begun)
            else:
                place = place_for(snapshot, founder, key, lambda: source.author)
            if place is snapshot:
                warn_of_clear(source, self)
            target = Repository(place, lambda: source.author)
            before, _ = there(self._without_added(base, folder, key), name)
            done = push(source, wanted, target, name, history=history, tags=tags, progress=_half(progress, 0))
            if found is None or to_send(target, snapshot):
                self._publish(base, found, target, snapshot, name, _half(progress, 1))
            versions = tuple(each for each in target.versions(name) if each.number not in before)
        return msgspec.structs.replace(
            done, versions=versions, present=done.present - (len(versions) - len(done.versions)),
            bytes=sum(each.bytes_added for each in versions),
        )  # fmt: skip

    @contextmanager
    def reading(self, key: Any = None) -> Iterator[Storage]:
        found = self._artifact(self._reference)
        if found is None:
            raise NotFoundError(f"{self}: there is nothing of this name; check it, or push something there")
        with scratch(f"pull {self}", found.digest) as folder:
            yield self._snapshot(found, folder)

    # What is there

    def _artifact(self, reference: str) -> Artifact | None:
        body = self._remote.manifest(reference)
        return None if body is None else decoded(body, str(self))

    def _snapshot(self, base: Artifact | None, folder: str, added: str = "added") -> Snapshot:
        layers = base.layers if base else {}
        sizes = {key: layer.size for key, layer in layers.items()}

        def fetch(key: str) -> Content:
            return self._remote.blob(layers[key].digest, layers[key].size, key)

        return Snapshot(str(self), sizes, fetch, folder, added)

    def _without_added(self, base: Artifact | None, folder: str, key: Any = None) -> Repository:
        """The store as the registry has it."""
        return Repository(place_for(self._snapshot(base, folder, "nothing"), None, key, str))

    def _like(self, source: Repository, wanted: Version, name: str, history: bool) -> Artifact | None:
        """What another tag names, if all of it is to be pushed anyway: then only the rest is sent."""
        if not history:
            return None
        best: Artifact | None = None
        try:
            for tag in filter(_is_tag, sorted(self._remote.tags(), reverse=True)[:CANDIDATES]):
                best = self._better(best, tag, name, wanted.number)
            return best if best is not None and self._is_prefix(best, source, wanted, name) else None
        except SaverError as error:  # what is sent twice costs time, and nothing else
            logger.info("%s: nothing is shared with other tags: %s", self, error)
            return None

    def _better(self, best: Artifact | None, tag: str, name: str, most: int) -> Artifact | None:
        """What another tag names, if it seems to have more of the model's versions than `best`."""
        try:
            found = self._artifact(tag)
        except (DamagedError, IncompatibleError) as error:
            logger.info("%s: the tag %s is left alone: %s", self, tag, error)
            return best
        newest = best.newest if best is not None else 0
        fits = found is not None and found.model == name and newest < found.newest <= most
        return found if fits else best

    def _is_prefix(self, base: Artifact, source: Repository, wanted: Version, name: str) -> bool:
        """Whether a store consists of versions that are those of the source, up to the wanted one."""
        with scratch(f"look {self} {base.digest}", base.digest) as folder:
            target = self._without_added(base, folder)
            theirs, last = there(target, name)
            ours = {version.number: version for version in source.versions(wanted.model)}
            if [model for model, _ in target.models()] != [name] or last > wanted.number:
                return False
            try:
                demand_prefix(source, ours, target, theirs)
            except CannotWriteError:
                return False
            return theirs.keys() <= ours.keys()

    # Sending

    def _publish(
        self, base: Artifact | None, found: Artifact | None, target: Repository, snapshot: Snapshot,
        name: str, progress: Progress | None,
    ) -> None:  # fmt: skip
        """Send what is new, and then the manifest."""
        keys = to_send(target, snapshot)
        layers = dict(base.layers if base else {}) | {key: _layer(snapshot.path(key)) for key in keys}
        newest = max(each.number for each in target.versions(name))
        body = encoded(layers, name if target.storage is snapshot else "", newest, str(self))
        done, total = 0, sum(layers[key].size for key in keys)
        for key in keys:
            self._remote.upload(snapshot.path(key), layers[key].digest, layers[key].size)
            done += layers[key].size
            if progress is not None:
                progress(done, total)
        self._send_nothing(os.path.join(str(snapshot.added), ".config"))
        now = self._remote.manifest(self._reference)
        if (now and digest_of(now)) != (found and found.digest):
            raise CannotWriteError(
                f"{self}: somebody else pushed there meanwhile, and nothing of theirs was changed; push again"
            )
        self._remote.put_manifest(self._reference, body)
        logger.info("%s: %d objects sent, %d bytes", self, len(keys), total)

    def _send_nothing(self, path: str) -> None:
        """The configuration, which every manifest must have."""
        written(path, NOTHING)
        self._remote.upload(path, digest_of(NOTHING), len(NOTHING))


def _layer(path: str) -> Layer:
    with open(path, "rb") as file:
        return Layer(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", os.stat(path).st_size)


def _half(progress: Progress | None, which: int) -> Progress | None:
    """Reports one of two halves: what is written here first, and what is sent then."""
    if progress is None:
        return None
    return lambda done, total: progress(which * total + done, 2 * total)


def open_hub(address: str) -> Registry:
    """`oci://host/name:tag` or `oci://host/name@sha256:…`; without either, the tag `latest`.

    `?insecure=true` allows a registry without TLS, as is allowed on this machine (`localhost`). Credentials
    are those of `docker login`. Raises ValueError, and IncompatibleError if `oras` is not installed.
    """
    rest, _, query = address.removeprefix(SCHEME).partition("?")
    host, _, path = rest.partition("/")
    name, at, reference = path.partition("@")
    if not at:
        name, _, reference = path.partition(":")
        reference = reference or ("latest" if ":" not in path else "")
    options = dict(parse_qsl(query, keep_blank_values=True))
    insecure = options.pop("insecure", "true" if _is_local(host) else "false").lower()
    valid = _is_host(host) and _is_name(name) and (_is_digest if at else _is_tag)(reference)
    if not valid or options or insecure not in ("true", "false") or len(address) > 1000:
        raise ValueError(
            f"target: {quoted(_public(address))} is not the address of a registry; write "
            f"{SCHEME}host/name:tag, with a name in lower case, and ?insecure=true for one without TLS"
        )
    return Registry(host, name, reference, insecure == "true")


def _public(address: str) -> str:
    """An address without what could be a secret in it."""
    return f"{SCHEME}{address.removeprefix(SCHEME).partition('?')[0].rpartition('@')[2]}"[:200]
