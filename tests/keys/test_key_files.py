"""Key files: secret ones that nobody else can read and nothing overwrites, public ones beside them."""

from __future__ import annotations

import os
import stat
import subprocess
import warnings
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from saver.errors import CannotReadError, CannotWriteError, IncompatibleError, NotFoundError, SaverError
from saver.keys import age, files
from saver.keys.files import (
    IDENTITIES,
    LIMIT,
    Type,
    identities_in,
    new_key_file,
    public_path,
    read_key_file,
    recipient_in,
)
from saver.keys.secret import Passphrase
from secrecy import SECRET, leaks, raised

TYPES = get_args(Type)
PUBLIC = age.identity(SECRET, "golden.key").public


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_the_secret_half(kind: Type, umask: int, tmp_path: Path) -> None:
    path, before = tmp_path / "a.key", os.umask(umask)
    try:
        new_key_file(path, kind)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(public_path(str(path))).stat().st_mode) == 0o666 & ~umask
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.key", "a.key.pub"]


@pytest.mark.parametrize("unnamed", [True, False])
def test_it_is_private_from_before_its_first_byte(
    unnamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the system has no unnamed files."""
    if not unnamed:
        monkeypatch.setattr("saver.disk.files._O_TMPFILE", 0)
    seen, real = [], os.pwrite

    def watched(file: int, data: Any, offset: int) -> int:
        seen.append(stat.S_IMODE(os.fstat(file).st_mode))
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", watched)
    new_key_file(tmp_path / "a.key")
    assert seen[0] == 0o600
    assert len(seen) == 2


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("taken", ["a.key", "a.key.pub"])
@pytest.mark.parametrize("what", ["file", "folder", "link to nothing"])
def test_nothing_is_overwritten(kind: Type, taken: str, what: str, tmp_path: Path) -> None:
    place = tmp_path / taken
    if what == "file":
        place.write_bytes(b"precious")
    elif what == "folder":
        place.mkdir()
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CannotWriteError, match="exists already; nothing was written"):
        new_key_file(tmp_path / "a.key", kind)
    assert [each.name for each in tmp_path.iterdir()] == [taken]
    if what == "file":
        assert place.read_bytes() == b"precious"


def test_of_two_that_make_the_same_file_one_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is between the look and the write."""
    real = files.age.new_identity

    def overtaken() -> Any:
        monkeypatch.setattr(files.age, "new_identity", real)
        new_key_file(tmp_path / "a.key")
        return real()

    monkeypatch.setattr(files.age, "new_identity", overtaken)
    with pytest.raises(CannotWriteError, match="exists already"):
        new_key_file(tmp_path / "a.key")
    (identity,) = identities_in((tmp_path / "a.key").read_text(), "")
    assert (tmp_path / "a.key.pub").read_text() == f"{identity.public}\n"


def test_an_identity_is_a_file_of_age(tmp_path: Path) -> None:
    public = new_key_file(tmp_path / "a.key").strip()
    lines = (tmp_path / "a.key").read_text().splitlines()
    assert lines[0] == f"# public key: {public}"
    assert lines[1].startswith("AGE-SECRET-KEY-1")
    assert (tmp_path / "a.key.pub").read_text() == f"{public}\n"
    assert recipient_in(str(tmp_path / "a.key.pub")) == (public, "a")
    assert recipient_in(str(tmp_path / "a.key")) == (public, "a")
    assert recipient_in(public) == (public, "")


def test_age_keygen_knows_it(tmp_path: Path) -> None:
    new_key_file(tmp_path / "a.key")
    try:
        done = subprocess.run(["age-keygen", "-y", tmp_path / "a.key"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("the program age-keygen is not installed")
    assert done.stdout == (tmp_path / "a.key.pub").read_bytes()


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_key_that_signs_is_pem_that_other_programs_read(kind: Type, tmp_path: Path) -> None:
    text = new_key_file(tmp_path / "a.key", kind)
    secret: Any = serialization.load_pem_private_key((tmp_path / "a.key").read_bytes(), None)
    public: Any = serialization.load_pem_public_key(text.encode())
    assert (tmp_path / "a.key.pub").read_text() == text
    if kind == "ed25519":
        public.verify(secret.sign(b"data"), b"data")
    else:
        assert secret.curve.name == "secp256r1"
        how = ec.ECDSA(hashes.SHA256())
        public.verify(secret.sign(b"data", how), b"data", how)


@pytest.mark.parametrize("kind", TYPES)
def test_a_passphrase_protects_a_key_file(
    kind: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_key_file(tmp_path / "a.key", kind, Passphrase("correct horse"))
    data = (tmp_path / "a.key").read_bytes()
    assert data.startswith(b"age-encryption.org/v1\n-> scrypt ")
    opened = age.unwrap(data, (), ["correct horse"]).decode()
    assert ("AGE-SECRET-KEY-1" if kind == "x25519" else "-----BEGIN PRIVATE KEY-----") in opened
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", range(0o1000))
def test_a_key_file_that_others_may_read_is_a_warning(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text("secret")
    path.chmod(mode)
    if not mode & 0o400 and os.geteuid():
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_key_file(str(path))
    told = [f"others may read the key file {path}; run: chmod 600 {path}"] if mode & 0o077 else []
    assert [str(each.message) for each in caught] == told


def test_what_cannot_be_read_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no key file; `saver key new FILE` makes one"):
        read_key_file(str(tmp_path / "a.key"))
    with pytest.raises(CannotReadError, match="Is a directory; check its permissions"):
        read_key_file(str(tmp_path))
    (tmp_path / "a.key").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(IncompatibleError, match="has more than 65,536 bytes, so it is not a key file"):
        read_key_file(str(tmp_path / "a.key"))
    with pytest.raises(NotFoundError):
        read_key_file(str(tmp_path / "a.key" / "b"))


def test_a_pipe_is_read_as_a_file_is(tmp_path: Path) -> None:
    """As in `saver key list models --key <(pass show team)`."""
    reading, writing = os.pipe()
    os.write(writing, b"secret")
    os.close(writing)
    assert read_key_file(f"/dev/fd/{reading}") == b"secret"
    os.close(reading)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age1xyz", "this is a public key"),
        ("-----BEGIN PUBLIC KEY-----", "this is a public key"),
        ("AGE-PLUGIN-YUBIKEY-1XYZ", "keys of plugins of age are not supported"),
        ("-----BEGIN PRIVATE KEY-----\nxyz", "this key signs, and opens nothing"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\nxyz", "encrypted as text"),
        (f"{SECRET}\nsomething else", "others"),
        (f"{SECRET}\n" * (IDENTITIES + 1), f"1 to {IDENTITIES} lines"),
        (SECRET[:-1], "is not an identity of age"),
        (f"{SECRET[:-1]}{'Q' if SECRET[-1] != 'Q' else 'P'}", "is not an identity of age"),
        ("AGE-SECRET-KEY-1", "is not an identity of age"),
    ],
)
def test_a_key_of_another_kind_is_refused_by_name(text: str, said: str) -> None:
    error = raised(lambda: identities_in(text, "the key"), IncompatibleError)
    assert said in str(error)
    assert leaks(error, SECRET) == []


def test_a_file_may_have_several_identities_and_comments() -> None:
    two = age.new_identity()
    found = identities_in(f"# a\n\n{SECRET}\r\n  {two.reveal()}  \n#b", "")
    assert [each.reveal() for each in found] == [SECRET, two.reveal()]
    assert identities_in("just a passphrase", "") == []
    assert identities_in(f"{SECRET}\n" * IDENTITIES, "")


@pytest.mark.parametrize("text", ["nothing\n", "", f"{PUBLIC}\n" * 2, "-----BEGIN PUBLIC KEY-----"])
def test_a_file_without_a_public_key_is_not_a_recipient(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text(text)
    with pytest.raises(ValueError, match=r"public keys of age; pass a file NAME\.pub") as caught:
        recipient_in(str(tmp_path / "a.pub"))
    (tmp_path / "a.pub").write_text(f"{text}\n{SECRET}")
    assert leaks(raised(lambda: recipient_in(str(tmp_path / "a.pub")), ValueError), SECRET) == []
    assert not isinstance(caught.value, SaverError)


@pytest.mark.parametrize("call", ["pwrite", "fsync", "link", "ftruncate", "fchmod"])
def test_a_failing_disk_leaves_no_half_of_a_key(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    error = raised(lambda: new_key_file(tmp_path / "a.key"), SaverError)
    monkeypatch.undo()
    assert not leaks(error, "AGE-SECRET-KEY-1")
    assert [each.name for each in tmp_path.iterdir() if each.stat().st_size] in ([], ["a.key"])
    if (tmp_path / "a.key").exists():  # only its folder was not synced, which the error says
        assert identities_in((tmp_path / "a.key").read_text(), "")
