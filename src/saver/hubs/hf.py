"""Hugging Face Hub: `hf://org/name[@revision]`, through `huggingface_hub`. See docs/sharing.md.

A repository holds one version at a time: `model.saver` with all of it, `saver.json` with what a store knows
of it, the weights as libraries read them if there are any that do, and its card. A push is one commit, which
is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from saver import registry
from saver.card import card_of
from saver.errors import (
    CannotReadError,
    CannotWriteError,
    IncompatibleError,
    NotFoundError,
    SaverError,
    quoted,
)
from saver.exporting import export_opened
from saver.hub import Hub, warn_of_clear
from saver.hubs._arrived import Arrived, is_filled
from saver.hubs._library import at_most, quietly, reason_of, too_large
from saver.hubs._provenance import (
    LARGEST,
    Provenance,
    decoded,
    encoded,
    is_weights,
    provenance,
    save_from,
    write_saver,
)
from saver.hubs._scratch import made, removed, removed_if_refused, scratch, written
from saver.hubs._sealed import passing
from saver.hubs._sealed_files import CARD, DOCUMENT, FILE, WITHIN, is_of_sealed, opened_document, write_sealed
from saver.logger import logger
from saver.opened import Opened, open_version
from saver.opening import open_file
from saver.pushing import Pushed
from saver.repo import changing
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.sealing import Sealer, keys_of
from saver.storage import Progress, Storage

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"

_is_repo = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}").fullmatch
_is_revision = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}").fullmatch


class There(msgspec.Struct, frozen=True):
    """The newest commit of a revision; what it says of the version in it, if there is one, and whether that
    is sealed; its files."""

    commit: str
    found: Provenance | None
    sealed: bool
    files: tuple[str, ...]


class HuggingFaceHub(Hub):
    """A revision of a repository of models."""

    def __init__(self, repo: str, revision: str, api: HfApi) -> None:
        self._repo, self._revision, self._api = repo, revision, api

    def __str__(self) -> str:
        return f"{SCHEME}{self._repo}" + (f"@{self._revision}" if self._revision else "")

    def push(
        self, source: Repository, ref: str | Version, model: str | None = None, *, history: bool = True,
        tags: bool = True, progress: Progress | None = None, to: Any = None, key: Any = None,
    ) -> Pushed:  # fmt: skip
        """Push the version alone, whatever `history` says: a repository holds one at a time. With `to`, each
        push seals anew, for those whom it names now; one that broke off is continued by the next that is for
        the same, with the files that it sealed."""
        wanted, key = changing.find(source, ref), keys_of(key)
        sealer = None if to is None else Sealer(to, str(self))
        if sealer is None:
            warn_of_clear(source, self)
        name = wanted.model if model is None else model
        shown = msgspec.structs.replace(wanted, model=name, tags=wanted.tags if tags else ())
        with scratch(f"push {self}", self._state(source, shown, sealer)) as folder:
            folder, before = os.path.join(folder, "new"), os.path.join(folder, "before")
            removed(before)
            opened = open_version(source, wanted)
            if sealer is None:
                said = self._write(folder, opened, shown)
                there = self._prepared(before, said, False, key)
            else:  # what is refused is refused before anything is sealed
                said = provenance(shown, name, True, "", [])
                with removed_if_refused(folder):
                    there = self._prepared(before, said, True, key)
                write_sealed(folder, opened, shown, sealer, said, str(self))
            size = sum(os.stat(os.path.join(folder, each)).st_size for each in os.listdir(folder))
            if there.found == said and sealer is None:
                return Pushed(name, (), 1, {}, (), 0)
            self._commit(folder, there, "a sealed version" if sealer else str(shown), size, progress)
        if there.found is not None and there.found.is_version(said):
            set_now = dict.fromkeys(sorted({*said.tags} - {*there.found.tags}), said.number)
            return Pushed(name, (), 1, set_now, (), size)
        return Pushed(name, (shown,), 0, {}, (), size)

    @contextmanager
    def reading(self, key: Any = None) -> Iterator[Storage]:
        key = keys_of(key)
        with self._asking(CannotReadError):
            info = self._info()
            commit, sizes = str(info.sha), {each.rfilename: each.size for each in info.siblings or ()}
        with scratch(f"pull {self}", commit) as folder:
            if DOCUMENT not in sizes:
                raise NotFoundError(
                    f"{self}: there is no {DOCUMENT}, so Saver pushed nothing there; download the files, and "
                    "import them: `saver import`"
                )
            found, sealed = self._read_document(commit, folder, key)
            path = self._download(commit, FILE, folder, sizes.get(FILE) or 0)
            place = os.path.join(folder, "store")
            storage: Storage = Arrived(place, str(self))
            if sealed:
                shutil.rmtree(place, ignore_errors=True)  # of an attempt whose keys nobody has any more
                storage = passing(storage)
            if not is_filled(repo := Repository(storage)):
                save_from(repo, path, found, str(self), key)
            yield storage

    # Writing

    def _state(self, source: Repository, shown: Version, sealer: Sealer | None) -> str:
        """What the files depend on that a push which broke off leaves to the next one: sealed ones, since
        others are the same each time."""
        if sealer is None:
            return ""
        ident = source.format().id
        return f"{ident}\n{sealer.mark(f'{self} {ident}')}\n{msgspec.json.encode(shown).decode()}"

    def _write(self, folder: str, opened: Opened, version: Version) -> Provenance:
        """Write all files to a folder."""
        suited = registry.find("formats", "huggingface").suited(opened)
        if suited is not None:
            kind, part = suited
            several = kind == "huggingface"
            chosen = [part, *(("config",) if several and "config" in opened.trees else ())]
            path = folder if several else os.path.join(folder, "model.safetensors")
            made(os.path.dirname(path))
            export_opened(opened, path, kind, chosen)
        made(folder)
        files = os.listdir(folder)
        write_saver(os.path.join(folder, FILE), opened, version)
        digest = open_file(os.path.join(folder, FILE)).hash
        said = provenance(version, version.model, True, digest, files)
        written(os.path.join(folder, DOCUMENT), encoded(said))
        card_of(opened, version, self._loading(version)).save(os.path.join(folder, CARD))
        return said

    def _loading(self, version: Version) -> Sequence[str]:
        ref, place = json.dumps(str(version)), json.dumps(str(self))
        return ('store = saver.Saver("models")', f"store.pull({ref}, {place})")

    def _prepared(self, folder: str, said: Provenance, sealed: bool, key: Any) -> There:
        """Make the repository, private, and the branch if they are missing; return what is there. Raises
        CannotWriteError unless that is `sealed` as what is pushed, and gives way to what is `said` of it."""
        with self._asking(CannotWriteError):
            self._api.create_repo(self._repo, private=True, exist_ok=True)
            if self._revision:
                self._api.create_branch(self._repo, branch=self._revision, exist_ok=True)
            info = self._info()
            files = tuple(each.rfilename for each in info.siblings or ())
            commit = str(info.sha)
        if DOCUMENT not in files:
            return There(commit, None, sealed, files)
        if self._is_sealed(commit, folder) != sealed:
            one, other = ("is not", "is") if sealed else ("is", "is not")
            raise CannotWriteError(
                f"{self}: what is there {one} sealed, and what is pushed {other}; nothing was changed; push "
                "to another repository: the history of this one would keep both"
            )
        there = There(commit, *self._read_document(commit, folder, key), files)
        self._demand_fits(there.found, said)
        return there

    def _demand_fits(self, found: Provenance | None, said: Provenance) -> None:
        """Raise CannotWriteError if what is there is another model, or another version of that number."""
        if found is None or found.is_version(said):
            return
        if found.model != said.model or found.number == said.number:
            raise CannotWriteError(
                f"{self}: {found.model}@{found.number} is there, which is not what is pushed; nothing was "
                "changed; push to another repository or revision, or under another name: --as NAME"
            )

    def _commit(self, folder: str, there: There, ref: str, size: int, progress: Progress | None) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        added = sorted(os.listdir(folder))
        old = {*(there.found.files if there.found else ())} & {*there.files} - {*added}
        gone = sorted(each for each in old if is_weights.fullmatch(each))
        operations: list[Any] = [CommitOperationDelete(path_in_repo=each) for each in gone]
        operations += [CommitOperationAdd(each, os.path.join(folder, each)) for each in added]
        if progress is not None:
            progress(0, size)
        with self._asking(CannotWriteError), quietly():
            self._api.create_commit(
                self._repo, operations, commit_message=ref, revision=self._revision or None,
                parent_commit=there.commit,
            )  # fmt: skip
        if progress is not None:
            progress(size, size)
        logger.info("%s: %s sent, %d bytes", self, ref, size)

    # Reading

    def _info(self) -> Any:
        return self._api.model_info(self._repo, revision=self._revision or None, files_metadata=True)

    def _is_sealed(self, commit: str, folder: str) -> bool:
        """Whether `saver.json` says that the rest is sealed."""
        return is_of_sealed(self._document(commit, folder), f"{self}: {DOCUMENT}")

    def _document(self, commit: str, folder: str) -> bytes:
        with open(self._download(commit, DOCUMENT, folder, LARGEST), "rb") as file:
            return file.read(LARGEST)

    def _read_document(self, commit: str, folder: str, key: Any) -> tuple[Provenance, bool]:
        """What `saver.json` says, and whether it is sealed."""
        if not self._is_sealed(commit, folder):
            return decoded(self._document(commit, folder), f"{self}: {DOCUMENT}"), False
        path = self._download(commit, WITHIN, folder, 2 * LARGEST)
        return decoded(opened_document(path, key, str(self)), f"{self}: {WITHIN}"), True

    def _download(self, commit: str, name: str, folder: str, most: int) -> str:
        """Bring a file of at most this many bytes to this machine."""
        place = os.path.join(folder, "files")
        with self._asking(CannotReadError), quietly():
            path: str = self._api.hf_hub_download(
                self._repo,
                name,
                revision=commit,
                local_dir=place,
                **at_most(self._api, most, f"{self}: {name}"),
            )
        if os.stat(path).st_size > most:
            raise too_large(f"{self}: {name}", most)
        return path

    @contextmanager
    def _asking(self, error: type[CannotReadError | CannotWriteError]) -> Iterator[None]:
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            yield
        except SaverError:
            raise
        except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as missing:
            raise NotFoundError(
                f"{self}: {reason_of(missing)}; check the name, and the login (hf auth login)"
            ) from missing
        except Exception as found:  # the library passes on what its own libraries raise
            raise error(
                f"{self}: {reason_of(found)}; run it again: what was sent, or came, is not repeated"
            ) from found


def open_hub(address: str) -> HuggingFaceHub:
    """`hf://org/name[@revision]`; `HF_ENDPOINT` names another server than huggingface.co. The token is what
    `huggingface_hub` finds: `HF_TOKEN`, or that of `hf auth login`.

    Raises ValueError, and IncompatibleError if `huggingface_hub` is not installed.
    """
    repo, at, revision = address.removeprefix(SCHEME).partition("@")
    valid = _is_repo(repo) and (_is_revision(revision) if at else True)
    if not valid or "--" in repo or ".." in repo:
        raise ValueError(
            f"target: {quoted(address, 200)} is not the address of a repository; write {SCHEME}org/name or "
            f"{SCHEME}org/name@revision"
        )
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise IncompatibleError(
            f"{SCHEME} needs the package huggingface_hub, which cannot be imported here ({error}); "
            "pip install 'saver-ml[hub]'"
        ) from None
    return HuggingFaceHub(repo, revision, HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None))
