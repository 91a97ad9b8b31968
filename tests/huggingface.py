"""A server that answers the calls of `huggingface_hub`: repositories in memory, and whole commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from serving import Handler, Server, serving

REGULAR = (".json", ".md")
"""The endings of files that are sent within a commit; others go to the storage of large ones."""


class Hub(Server):
    """`repos` has the branches of each repository: the newest commit, and its files."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.repos: dict[str, dict[str, tuple[str, dict[str, bytes]]]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.tokens = set[str | None]()
        self.messages: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        return self.repos[repo][branch][1]

    def commit(self, repo: str, branch: str, files: dict[str, bytes]) -> str:
        """Make a commit with these files the newest of a branch."""
        ident = hashlib.sha1(f"{repo} {len(self.commits)}".encode()).hexdigest()
        self.repos.setdefault(repo, {})[branch] = (ident, files)
        self.commits[ident] = files
        return ident

    def sent(self) -> list[str]:
        """The large files that were sent, in order."""
        return [call.rpartition("/")[2] for call in self.calls if call.startswith("PUT /large/")]


@contextmanager
def hub() -> Iterator[Hub]:
    """A server that serves as long as the context lasts."""
    with serving(Hub()) as server:
        yield server


class _Handler(Handler):
    server: Hub

    def say(self, document: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(document).encode(), Content_Type="application/json")

    def act(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        for pattern, act in _ROUTES.items():
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                act(self, body, *found.groups())
                return
        self.answer(404)

    def handled(self) -> None:
        self.server.tokens.add(self.headers.get("Authorization"))
        super().handled()

    # What may be requested

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        repo = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        if repo in self.server.repos:
            self.say({"url": f"{self.server.url}/{repo}"}, 409)
            return
        self.server.private[repo] = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.server.commit(repo, "main", {".gitattributes": b""})
        self.say({"url": f"{self.server.url}/{repo}"})

    def branch(self, body: bytes, repo: str, name: str) -> None:
        if name in self.server.repos[repo]:
            self.say({}, 409)
            return
        self.server.repos[repo][name] = self.server.repos[repo]["main"]
        self.say({})

    def _of(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        branches = self.server.repos.get(repo, {})
        if revision in self.server.commits:
            return revision, self.server.commits[revision]
        found = branches.get(revision)
        if found is None:
            code = "RevisionNotFound" if branches else "RepoNotFound"
            self.answer(404, b"", X_Error_Code=code)
        return found

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        if (found := self._of(repo, revision)) is not None:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in found[1].items()]
            self.say({"id": repo, "modelId": repo, "sha": found[0], "siblings": siblings, "private": True})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        files = json.loads(body)["files"]
        self.say({"files": [
            {"path": each["path"], "shouldIgnore": False, "oid": None,
             "uploadMode": "regular" if each["path"].endswith(REGULAR) else "lfs"}
            for each in files
        ]})  # fmt: skip

    def batch(self, body: bytes, repo: str) -> None:
        wanted = json.loads(body)["objects"]
        found = []
        for each in wanted:
            place = {"href": f"{self.server.url}/large/{each['oid']}?secret=x"}
            missing = {} if each["oid"] in self.server.large else {"actions": {"upload": place}}
            found.append({**each, **missing})
        self.say({"transfer": "basic", "objects": found})

    def large(self, body: bytes, digest: str) -> None:
        good = hashlib.sha256(body).hexdigest() == digest
        if good:
            self.server.large[digest] = body
        self.answer(200 if good else 400)

    def committing(self, body: bytes, repo: str, branch: str) -> None:
        newest, files = self.server.repos[repo][branch]
        files = dict(files)
        for line in body.splitlines():
            each = json.loads(line)
            value = each["value"]
            if each["key"] == "header":
                if value.get("parentCommit", newest) != newest:
                    self.say({"error": "another commit came first"}, 412)
                    return
                self.server.messages.append(value["summary"])
            elif each["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            else:
                del files[value["path"]]
        ident = self.server.commit(repo, branch, files)
        self.say({"commitUrl": f"{self.server.url}/{repo}/commit/{ident}", "commitOid": ident})

    def resolve(self, body: bytes, repo: str, revision: str, name: str) -> None:
        found = self._of(repo, revision)
        if found is None:
            return
        commit, files = found
        if name not in files:
            self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            return
        data, status, extra = files[name], 200, {}
        if (wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) is not None:
            extra = {"Content_Range": f"bytes {wanted[1]}-{len(data) - 1}/{len(data)}"}
            data, status = data[int(wanted[1]) :], 206
        tag = hashlib.sha256(files[name]).hexdigest()
        self.answer(status, data, ETag=f'"{tag}"', X_Repo_Commit=commit, **extra)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handled


_REPO = r"([\w.-]+/[\w.-]+)"
_ROUTES: dict[str, Callable[..., None]] = {
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": lambda handler, body: handler.say({"errors": [], "warnings": []}),
    rf"POST /api/models/{_REPO}/branch/(\S+)": _Handler.branch,
    rf"GET /api/models/{_REPO}/revision/(\S+)": _Handler.info,
    rf"GET /api/models/{_REPO}": _Handler.info,
    rf"POST /api/models/{_REPO}/preupload/(\S+)": _Handler.preupload,
    rf"POST /{_REPO}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /large/(\w+)": _Handler.large,
    rf"POST /api/models/{_REPO}/commit/(\S+)": _Handler.committing,
    rf"(?:GET|HEAD) /{_REPO}/resolve/([^/ ]+)/(\S+)": _Handler.resolve,
}
