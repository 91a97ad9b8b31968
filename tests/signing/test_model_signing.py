"""Signatures of files and folders: the published package `model-signing` is the judge, both ways."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from saver.cli import _model_signing as hook
from saver.errors import IncompatibleError, KeyNeededError, NotFoundError, SignatureError
from saver.keys import asking
from saver.signing.model_signing import sign_folder, verify_folder

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def pems(key: Any, password: bytes | None = None) -> tuple[bytes, bytes]:
    locked = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


PRIVATE, PUBLIC = pems(ec.generate_private_key(ec.SECP256R1()))
_, OTHER = pems(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with names that sort in several ways, and what is always left out."""
    found = tmp_path / "model"
    for name in (
        "config.json",
        "a/b",
        "a.b",
        "a-b",
        "a/c/d",
        "é/ü",
        "empty",
        ".hidden",
        "x:0:1",
        ".git/HEAD",
    ):
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_bytes(b"" if name == "empty" else name.encode() * 99)
    (found / "nothing").mkdir()
    saver.dump({"w": np.arange(9000.0)}, found / "m.saver")
    return found


@pytest.fixture
def package() -> Any:
    """The package that judges; it imports OpenSSL, which it does not declare."""
    pytest.importorskip("OpenSSL", reason="model-signing needs pyOpenSSL")
    return pytest.importorskip("model_signing")


Judge = Callable[[Path, bytes, bytes], None]


@pytest.fixture
def judge(package: Any, tmp_path: Path) -> Judge:
    """Raises whatever the package raises."""

    def verify(path: Path, bundle: bytes, public: bytes) -> None:
        (tmp_path / "bundle").write_bytes(bundle)
        (tmp_path / "public").write_bytes(public)
        config = package.verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "public")
        config.verify(path, tmp_path / "bundle")

    return verify


def signed_by_package(package: Any, path: Path, private: bytes, hashing: Any = None) -> bytes:
    place = path.parent / "from-package"
    (path.parent / "private").write_bytes(private)
    config = package.signing.Config().use_elliptic_key_signer(private_key=path.parent / "private")
    if hashing is not None:
        config.set_hashing_config(hashing)
    config.sign(path, place)
    return place.read_bytes()


# Both ways


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("what", ["folder", "file"])
def test_the_package_accepts_what_saver_signs(curve: str, what: str, folder: Path, judge: Judge) -> None:
    private, public = pems(ec.generate_private_key(CURVES[curve]))
    path = folder if what == "folder" else folder / "m.saver"
    bundle = sign_folder(path, private)
    judge(path, bundle, public)
    found = verify_folder(path, bundle, public)
    assert found.model == path.name
    names = {
        str(each.relative_to(folder))
        for each in folder.rglob("*")
        if each.is_file() and ".git" not in each.parts
    }
    assert set(found.files) == (names if what == "folder" else {"."})


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("what", ["folder", "file"])
def test_saver_accepts_what_the_package_signs(curve: str, what: str, folder: Path, package: Any) -> None:
    private, public = pems(ec.generate_private_key(CURVES[curve]))
    path = folder if what == "folder" else folder / "m.saver"
    bundle = signed_by_package(package, path, private)
    assert verify_folder(path, bundle, public).model == path.name
    assert payload(bundle)["subject"] == payload(sign_folder(path, private))["subject"], "the same root hash"


@pytest.mark.parametrize("kind", ["sha256", "blake2", "blake3"])
@pytest.mark.parametrize("shards", [0, 1000, 1 << 30])
def test_saver_accepts_every_way_in_which_the_package_hashes(
    kind: str, shards: int, folder: Path, package: Any
) -> None:
    hashing = package.hashing.Config()
    if shards:
        hashing.use_shard_serialization(hashing_algorithm=kind, shard_size=shards)
    else:
        hashing.use_file_serialization(hashing_algorithm=kind)
    bundle = signed_by_package(package, folder, PRIVATE, hashing)
    assert "m.saver" in verify_folder(folder, bundle, PUBLIC).files
    for name in ("m.saver", "a/b"):
        data = (folder / name).read_bytes()
        for changed in (data[:-1], data + b"x", b"x" + data[1:]):
            (folder / name).write_bytes(changed)
            with pytest.raises(SignatureError, match=re.escape(name)):
                verify_folder(folder, bundle, PUBLIC)
        (folder / name).write_bytes(data)
    verify_folder(folder, bundle, PUBLIC)


def test_what_is_left_out_is_left_out_by_both(folder: Path, judge: Judge, package: Any) -> None:
    bundle = sign_folder(folder, PRIVATE, ignore=["a", "config.json"])
    (folder / "config.json").write_text("changed"), (folder / "a" / "new").write_text("new")
    (folder / ".gitignore").write_text("new")
    judge(folder, bundle, PUBLIC)
    found = verify_folder(folder, bundle, PUBLIC)
    assert "a.b" in found.files
    assert not {"a/b", "config.json"} & {*found.files}
    assert {"a", "config.json", ".git"} <= {*found.ignored}
    theirs = package.hashing.Config().set_ignored_paths(paths=["a", "config.json"])
    bundle = signed_by_package(package, folder, PRIVATE, theirs)
    (folder / "a" / "new").write_text("other")
    verify_folder(folder, bundle, PUBLIC)


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=20), max_size=6)
)
def test_whatever_the_files_are_called(
    tmp_path_factory: pytest.TempPathFactory, files: dict[tuple[str, ...], bytes]
) -> None:
    package = pytest.importorskip("model_signing")
    root = tmp_path_factory.mktemp("names")
    folder = root / "model"
    folder.mkdir()
    for parts, data in files.items():
        path = folder.joinpath(*parts)
        if any(each.is_file() for each in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "public").write_bytes(PUBLIC)
    bundle = sign_folder(folder, PRIVATE)
    (root / "bundle").write_bytes(bundle)
    config = package.verifying.Config().use_elliptic_key_verifier(public_key=root / "public")
    config.verify(folder, root / "bundle")
    verify_folder(folder, bundle, PUBLIC)
    theirs = signed_by_package(package, folder, PRIVATE)
    verify_folder(folder, theirs, PUBLIC)
    assert payload(theirs)["subject"] == payload(bundle)["subject"]


# What was changed


def payload(bundle: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed: 'a/b'": lambda folder: (folder / "a/b").write_bytes(b"other"),
    "changed: 'empty'": lambda folder: (folder / "empty").write_bytes(b"x"),
    "missing: 'a.b'": lambda folder: (folder / "a.b").unlink(),
    "not signed: 'a/new'": lambda folder: (folder / "a/new").write_bytes(b"x"),
    "not signed: 'none'": lambda folder: (folder / "none").write_bytes(b""),
    "missing: 'a-b'; not signed: 'a_b'": lambda folder: (folder / "a-b").rename(folder / "a_b"),
}  # fmt: skip


@pytest.mark.parametrize("said", CHANGES)
def test_which_file_is_not_what_was_signed_is_said(said: str, folder: Path, judge: Judge) -> None:
    bundle = sign_folder(folder, PRIVATE)
    CHANGES[said](folder)
    with pytest.raises(SignatureError, match=re.escape(said)):
        verify_folder(folder, bundle, PUBLIC)
    with pytest.raises(ValueError, match="mismatch"):
        judge(folder, bundle, PUBLIC)


def test_of_many_some_are_named_and_all_are_counted(folder: Path) -> None:
    bundle = sign_folder(folder, PRIVATE)
    for number in range(1005):
        (folder / f"new{number:04}").touch()
    with pytest.raises(SignatureError, match=r"'new0000', .*'new0004' and 1,000 more"):
        verify_folder(folder, bundle, PUBLIC)


def test_a_signature_of_another_folder_names_what_differs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    bundle = sign_folder(tmp_path / "other", PRIVATE)
    with pytest.raises(SignatureError, match=r"changed: 'config\.json'; not signed: '\.hidden'"):
        verify_folder(folder, bundle, PUBLIC)
    with pytest.raises(SignatureError, match=r"missing: 'config\.json'; not signed: '\.'"):
        verify_folder(folder / "m.saver", bundle, PUBLIC)


LINKS: dict[str, Callable[[Path], object]] = {
    "a/link": lambda folder: (folder / "a/link").symlink_to(folder / "a.b"),
    "a/up": lambda folder: (folder / "a/up").symlink_to("/etc"),
    "broken": lambda folder: (folder / "broken").symlink_to("nowhere"),
    "a/pipe": lambda folder: os.mkfifo(folder / "a/pipe"),
    "socket": lambda folder: listening(folder / "socket"),
}  # fmt: skip


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def test_folders_may_be_deeper_than_the_stack_of_python(folder: Path) -> None:
    before = sign_folder(folder, PRIVATE)
    deep = folder.joinpath(*["d"] * 400)
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    try:
        with pytest.raises(SignatureError, match="not signed: 'd/d/d"):
            verify_folder(folder, before, PUBLIC)
        assert (
            "/".join(["d"] * 400) + "/file"
            in verify_folder(folder, sign_folder(folder, PRIVATE), PUBLIC).files
        )
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", LINKS)
def test_links_and_special_files_are_neither_signed_nor_verified(name: str, folder: Path) -> None:
    bundle = sign_folder(folder, PRIVATE)
    LINKS[name](folder)
    for act in (lambda: sign_folder(folder, PRIVATE), lambda: verify_folder(folder, bundle, PUBLIC)):
        with pytest.raises(IncompatibleError, match=re.escape(str(folder / name))):
            act()
    assert verify_folder(folder, bundle, PUBLIC, ignore=[name]).model == "model"


def test_a_file_that_became_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Also to the very same bytes."""
    bundle = sign_folder(folder, PRIVATE)
    (folder / "a.b").rename(tmp_path / "moved")
    (folder / "a.b").symlink_to(tmp_path / "moved")
    with pytest.raises(IncompatibleError, match=r"a\.b is a symbolic link"):
        verify_folder(folder, bundle, PUBLIC)


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    bundle = sign_folder(folder, PRIVATE)
    (tmp_path / "link").symlink_to(folder)
    assert verify_folder(tmp_path / "link", bundle, PUBLIC).model == "model"


def test_a_name_that_is_not_utf_8_is_said(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff")).touch()
    except OSError as error:
        pytest.skip(f"this file system takes no such name: {error}")
    with pytest.raises(IncompatibleError, match="not UTF-8"):
        sign_folder(tmp_path, PRIVATE)


@pytest.mark.parametrize("path", ["", ".", "..", "/etc", "a/../..", "a/../b"])
def test_only_a_path_in_the_folder_can_be_left_out(path: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="ignore"):
        sign_folder(folder, PRIVATE, ignore=[path])


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file or folder"):
        sign_folder(tmp_path / "none", PRIVATE)


# The bundle


@pytest.mark.slow
def test_a_bundle_with_any_bit_flipped_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_bytes(b"a")
    bundle = sign_folder(tmp_path / "model", PRIVATE)
    taken = []
    for at in range(len(bundle)):
        for bit in range(8):
            changed = bytearray(bundle)
            changed[at] ^= 1 << bit
            try:
                verify_folder(tmp_path / "model", bytes(changed), PUBLIC)
            except (SignatureError, IncompatibleError):
                continue
            taken.append((at, bit))
    assert taken == []


@pytest.mark.slow
def test_and_one_of_the_package(tmp_path: Path, package: Any) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_bytes(b"a")
    bundle = signed_by_package(package, tmp_path / "model", PRIVATE)
    for at in range(len(bundle)):
        changed = bytearray(bundle)
        changed[at] ^= 1
        with pytest.raises((SignatureError, IncompatibleError)):
            verify_folder(tmp_path / "model", bytes(changed), PUBLIC)


def test_a_bundle_that_is_cut_or_lengthened_is_refused(folder: Path) -> None:
    bundle = sign_folder(folder, PRIVATE)
    for end in {0, 1, *range(2, len(bundle), 97), len(bundle) - 1}:
        with pytest.raises((SignatureError, IncompatibleError)):
            verify_folder(folder, bundle[:end], PUBLIC)
    with pytest.raises(IncompatibleError):
        verify_folder(folder, bundle + b"x", PUBLIC)


def changed(bundle: bytes, change: Callable[[Any], object]) -> bytes:
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


def in_envelope(**fields: Any) -> Callable[[Any], object]:
    return lambda d: d["dsseEnvelope"].update(fields)


def in_material(**fields: Any) -> Callable[[Any], object]:
    return lambda d: d["verificationMaterial"].update(fields)


def twice(d: Any) -> None:
    d["dsseEnvelope"]["signatures"] *= 2


LIES: dict[str, tuple[Callable[[Any], object], str]] = {
    "no signature": (in_envelope(signatures=[]), "not one of"),
    "two signatures": (twice, "not one of"),
    "another type": (in_envelope(payloadType="text/plain"), "not one of"),
    "another kind of bundle": (lambda d: d.update(mediaType="application/json"), "a bundle of the kind"),
    "a certificate": (in_material(certificate={"rawBytes": "AA=="}), "certificate"),
    "a chain": (in_material(x509CertificateChain={"certificates": []}), "certificate"),
    "another key": (in_material(publicKey={"hint": "0" * 64}), "another key"),
    "more fields": (lambda d: d.update(more=1), "not a signature"),
    "a list": (lambda d: d.update(dsseEnvelope=[]), "not a signature"),
    "an empty payload": (in_envelope(payload=""), "base64"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_bundle_that_lies_is_refused(lie: str, folder: Path) -> None:
    change, said = LIES[lie]
    bundle = changed(sign_folder(folder, PRIVATE), change)
    with pytest.raises((SignatureError, IncompatibleError), match=said):
        verify_folder(folder, bundle, PUBLIC)


def test_a_bundle_that_is_nested_too_deep_is_refused(folder: Path) -> None:
    deep = b"[" * 300_000 + b"]" * 300_000
    bundle = sign_folder(folder, PRIVATE).replace(b'"tlogEntries":[]', b'"tlogEntries":[%s]' % deep)
    with pytest.raises(IncompatibleError, match="not a signature"):
        verify_folder(folder, bundle, PUBLIC)


def test_without_a_hint_the_key_must_still_be_right(folder: Path) -> None:
    bundle = changed(sign_folder(folder, PRIVATE), lambda d: d["verificationMaterial"].update(publicKey={}))
    assert verify_folder(folder, bundle, PUBLIC)
    with pytest.raises(SignatureError, match="does not verify"):
        verify_folder(folder, bundle, OTHER)


def test_the_key_of_somebody_else_is_refused(folder: Path) -> None:
    with pytest.raises(SignatureError, match="signed by another key"):
        verify_folder(folder, sign_folder(folder, PRIVATE), OTHER)


def stated(statement: Any) -> bytes:
    """A bundle of something that its key did sign."""
    from saver.signing.bundles import private_key, signed

    return signed(json.dumps(statement).encode(), private_key(PRIVATE, None))


def in_root(**fields: Any) -> Callable[[Any], object]:
    return lambda s: s["subject"][0].update(fields)


def in_serialization(**fields: Any) -> Callable[[Any], object]:
    return lambda s: s["predicate"]["serialization"].update(fields)


def no_hash(s: Any) -> None:
    s["predicate"]["resources"][0]["digest"] = "x"


def shards_of(size: Any) -> Callable[[Any], object]:
    return in_serialization(method="shards", shard_size=size)


STATEMENTS: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "another predicate": (lambda s: s.update(predicateType="x"), IncompatibleError, "another version"),
    "another statement": (lambda s: s.update(_type="x"), IncompatibleError, "another version"),
    "two subjects": (lambda s: s.update(subject=s["subject"] * 2), IncompatibleError, "another version"),
    "another root": (in_root(digest={"sha256": "0" * 64}), SignatureError, "contradict"),
    "no root": (in_root(digest={}), SignatureError, "contradict"),
    "no hash": (no_hash, SignatureError, "contradict"),
    "everything left out": (in_serialization(ignore_paths=["."]), ValueError, "not a path within"),
    "paths outside": (in_serialization(ignore_paths=["../x"]), ValueError, "not a path within"),
    "another method": (in_serialization(method="x"), IncompatibleError, "files as"),
    "another hash": (in_serialization(hash_type="md5"), IncompatibleError, "md5"),
    "shards of nothing": (shards_of(0), IncompatibleError, "of 0"),
    "shards of a huge size": (shards_of(1e300), IncompatibleError, "1e"),
    "half a byte": (shards_of(1.5), IncompatibleError, "of 1.5"),
    "no size of shards": (shards_of(None), IncompatibleError, "of None"),
}


@pytest.mark.parametrize("lie", STATEMENTS)
def test_a_statement_that_lies_is_refused_although_it_is_signed(lie: str, folder: Path) -> None:
    change, kind, said = STATEMENTS[lie]
    statement = payload(sign_folder(folder, PRIVATE))
    change(statement)
    with pytest.raises(kind, match=said):
        verify_folder(folder, stated(statement), PUBLIC)


def test_a_file_that_is_named_twice_is_refused(folder: Path) -> None:
    statement = payload(sign_folder(folder, PRIVATE))
    resources = statement["predicate"]["resources"] * 2
    statement["predicate"]["resources"] = resources
    root = hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources)).hexdigest()
    statement["subject"][0]["digest"]["sha256"] = root
    with pytest.raises(IncompatibleError, match="twice"):
        verify_folder(folder, stated(statement), PUBLIC)


# Keys


def test_other_keys_than_those_that_the_format_knows_are_refused(folder: Path) -> None:
    bundle = sign_folder(folder, PRIVATE)
    for key in (
        ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256K1()),
    ):  # fmt: skip
        private, public = pems(key)
        with pytest.raises(ValueError, match=r"private_key: a key of the type \w+; .*P-256.*--type p256"):
            sign_folder(folder, private)
        with pytest.raises(ValueError, match=r"public_key: a key of the type"):
            verify_folder(folder, bundle, public)


def test_a_key_that_is_locked_needs_its_passphrase(folder: Path) -> None:
    private, public = pems(ec.generate_private_key(ec.SECP256R1()), b"secret")
    assert verify_folder(folder, sign_folder(folder, private, password=b"secret"), public)
    for password, said in ((None, "locked"), (b"other", "wrong")):
        with pytest.raises(ValueError, match=said) as raised:
            sign_folder(folder, private, password=password)
        assert "other" not in str(raised.value)
    with pytest.raises(ValueError, match="no passphrase"):
        sign_folder(folder, PRIVATE, password=b"secret")


@pytest.mark.parametrize(
    "pem", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_not_a_key_is_said_and_not_quoted(pem: bytes, folder: Path) -> None:
    with pytest.raises(ValueError, match="not a private key"):
        sign_folder(folder, pem)
    with pytest.raises(ValueError, match="public_key"):
        verify_folder(folder, sign_folder(folder, PRIVATE), pem)


def test_a_private_key_in_place_of_the_public_one_is_said(folder: Path) -> None:
    with pytest.raises(ValueError, match="this is a private key"):
        verify_folder(folder, sign_folder(folder, PRIVATE), PRIVATE)


# The options of commands


@click.command()
@click.argument("path")
@click.option("--key")
@click.option("--signed-by", "public")
@hook.signature_options
def command(
    path: str, key: str | None, public: str | None, form: str | None, signature: str | None,
    ignored: tuple[str, ...],
) -> None:  # fmt: skip
    """As `saver sign` and `saver verify` have them."""
    assert form == "model-signing"
    if key:
        click.echo(hook.sign(path, key, signature, ignored))
    else:
        click.echo(len(hook.verify(path, str(public), signature, ignored).files))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, ["--format", "model-signing", *map(str, arguments)])


@pytest.mark.parametrize("place", ["beside", "within"])
def test_commands_sign_and_verify(place: str, folder: Path, tmp_path: Path, judge: Judge) -> None:
    (tmp_path / "key").write_bytes(PRIVATE), (tmp_path / "key.pub").write_bytes(PUBLIC)
    options = [] if place == "beside" else ["--signature", folder / "a" / "model.sig"]
    done = run(folder, "--key", tmp_path / "key", *options)
    assert done.exit_code == 0, done.output
    written = Path(done.output.strip())
    assert written == (tmp_path / "model.sig" if place == "beside" else folder / "a" / "model.sig")
    judge(folder, written.read_bytes(), PUBLIC)
    for _ in range(2):
        assert run(folder, "--key", tmp_path / "key", *options).exit_code == 0, "signed again"
    done = run(f"{folder}/", "--signed-by", tmp_path / "key.pub", *options)
    assert (done.exit_code, done.output) == (0, "10\n")
    (folder / "a.b").unlink()
    failed = run(folder, "--signed-by", tmp_path / "key.pub", *options)
    assert isinstance(failed.exception, SignatureError)


def test_commands_ask_for_a_passphrase_and_do_not_show_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, _ = pems(ec.generate_private_key(ec.SECP256R1()), b"secret")
    (tmp_path / "key").write_bytes(private)
    done = run(folder, "--key", tmp_path / "key")
    assert isinstance(done.exception, KeyNeededError), "there is no terminal"
    monkeypatch.setattr(asking, "has_terminal", lambda: True)
    asked = list[str]()
    for typed, code in (("secret", 0), ("other", 2)):
        monkeypatch.setattr("getpass.getpass", lambda question, typed=typed: asked.append(question) or typed)
        done = run(folder, "--key", tmp_path / "key")
        assert done.exit_code == code
        assert typed not in done.output
    assert asked == [f"Passphrase of {tmp_path / 'key'}: "] * 2


def test_commands_say_what_is_missing(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "--key", tmp_path / "key")
    assert done.exit_code == 3
    (tmp_path / "key.pub").write_bytes(PUBLIC)
    done = run(folder, "--signed-by", tmp_path / "key.pub")
    assert done.exit_code == 3
    assert "model.sig" in done.output
