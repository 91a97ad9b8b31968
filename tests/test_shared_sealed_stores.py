"""A sealed store with roles that a group shares: what a member pushes, pulls, imports, signs or lets in, the
others go on with; and nobody else reads a byte."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyrage")

import saver
from cli.running import run
from saver.errors import SaverError
from saver.keys.files import new_key_file
from signed import private, public
from test_shared_stores import modes
from users import ANN, BEN, EVE, TEAM, User, as_user, place, skip_unless_root

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:others may read the key file"),
    pytest.mark.filterwarnings("ignore:.*could not be remembered"),
]

RIGHTS = ("save", "tag", "delete", "collect", "sign", "grant")


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which members of the team may make folders, with keys of both."""
    skip_unless_root()
    monkeypatch.delenv("SAVER_HEADS", raising=False)
    monkeypatch.setenv("SAVER_CACHE", "/proc/nothing")
    with place() as folder:
        for name, signs in (("ann", "alice"), ("ben", "bob")):
            new_key_file(folder / f"{name}.key")
            (folder / f"{name}.sign").write_bytes(private(signs))
        for path in folder.iterdir():
            path.chmod(0o644)
        saver.Saver(folder / "warm", key=str(folder / "ann.key")).create(shared=str(TEAM))
        work(folder / "warm", folder, "ann", 0), rotated(folder / "warm", folder, "ann")
        os.chown(folder, 0, TEAM)
        folder.chmod(0o775)
        yield folder


def work(store: Path, desk: Path, name: str, seed: int) -> int:
    """What writes to a sealed store and to no other one: a push and a pull, a file, signatures, rights."""
    key, signs = str(desk / f"{name}.key"), desk / f"{name}.sign"
    found = saver.Saver(store, author=name, key=key, sign=signs)
    found.save("iris", [seed], tags=["best"])
    found.sign("iris", signs)
    side = saver.Saver(f"memory://{store}/{seed}", key=key)
    for model in ("pushed", "pulled"):
        side.save(f"{model}-{seed}", [seed])
    side.push(f"pushed-{seed}", found)
    found.pull(f"pulled-{seed}", side)
    for other in ("bob", "alice"):
        found.grant(public(other), *RIGHTS)
    found.untag("iris", "best")
    found.delete(f"pulled-{seed}@1")
    found.gc(grace=0, everything=True)
    assert found.check().sound
    loaded: list[int] = found.load(f"pushed-{seed}")
    return loaded[0]


def rotated(store: Path, desk: Path, name: str) -> int:
    """Let the other one in, and seal all of it anew."""
    other = {"ann": "ben", "ben": "ann"}[name]
    signs, key = {"SAVER_SIGN_KEY": str(desk / f"{name}.sign")}, ("--key", str(desk / f"{name}.key"))
    for command in (("add", store, desk / f"{other}.key.pub"), ("rotate", store, "--all")):
        done = run("key", *command, *key, **signs)
        assert done.exit_code == 0, done.output
    return 0


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_members_go_on_with_each_others_sealed_work_and_nobody_else_reads_any(umask: int, desk: Path) -> None:
    store = desk / "models"

    def made() -> bool:
        saver.Saver(store, key=str(desk / "ann.key")).create(shared=str(TEAM))
        return True

    def done(user: User, act: Any, *given: Any) -> Any:
        found = as_user(user, act, store, desk, *given, umask=umask)
        assert modes(store) == {(True, 0o2770, TEAM), (False, 0o660, TEAM)}
        return found

    assert as_user(ANN, made, umask=umask)
    done(ANN, rotated, "ann")
    for seed, (user, name) in enumerate([(ANN, "ann"), (BEN, "ben"), (ANN, "ann")]):
        assert done(user, work, name, seed) == seed
        done(user, rotated, name)
    for path in (store, *store.rglob("*")):
        assert as_user(EVE, refused, path), path
    for act in (lambda held: held.load("iris"), lambda held: str(held.save("iris", [9]))):
        with pytest.raises(SaverError, match="Permission denied"):
            as_user(EVE, lambda act=act: act(saver.Saver(store, key=str(desk / "ann.key"))))


def refused(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return True
    return False
