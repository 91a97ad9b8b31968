"""Keys are read from PEM, and sign what others verify; what is not a key is refused by name."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from blake3 import blake3

pytest.importorskip("cryptography")

from saver.errors import CannotReadError, NotFoundError
from saver.signing.curves import is_point
from saver.signing.keys import _SMALL, failure, is_key, public_key, public_keys, signing_key
from signed import NAMES, key_of, private, public, text_of


@pytest.mark.parametrize("name", NAMES)
def test_a_key_comes_from_a_file_a_variable_or_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.key").write_bytes(private(name))
    (tmp_path / "a.pub").write_bytes(public(name))
    monkeypatch.setenv("PRIVATE", private(name).decode())
    monkeypatch.setenv("PUBLIC", public(name).decode())
    for source in (private(name), tmp_path / "a.key", str(tmp_path / "a.key"), "env:PRIVATE", key_of(name)):
        assert signing_key("key", source).public == text_of(name)
    for source in (public(name), tmp_path / "a.pub", "env:PUBLIC", text_of(name), key_of(name)):
        assert public_key("key", source) == text_of(name)
    assert is_key(text_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_is_of_one_message_by_one_key(name: str) -> None:
    signature = key_of(name).sign(b"message")
    assert failure(text_of(name), signature, b"message") == ""
    assert failure(text_of(name), signature, b"messagf") == "the signature does not verify"
    for other in set(NAMES) - {name}:
        assert failure(text_of(other), signature, b"message") == "the signature does not verify"


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_each_bit_of_a_signature_matters(name: str) -> None:
    raw = bytes.fromhex(key_of(name).sign(b"message"))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert failure(text_of(name), changed.hex(), b"message") == "the signature does not verify"


def test_a_signature_of_p256_has_no_twin() -> None:
    raw = bytes.fromhex(key_of("bob").sign(b"message"))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert failure(text_of("bob"), twin.hex(), b"message") == "the signature does not verify"


@pytest.mark.parametrize(
    ("key", "signature", "why"),
    [
        ("rsa:" + "0" * 64, "0" * 128, "a type that this Saver does not know"),
        ("", "0" * 128, "a type that this Saver does not know"),
        ("ed25519:" + "0" * 63, "0" * 128, "a type that this Saver does not know"),
        ("p256:02" + "f" * 64, "0" * 128, "not a point of its curve"),
        ("ed25519:" + "0" * 64, "0" * 127, "malformed"),
        ("ed25519:" + "0" * 64, "", "malformed"),
        ("ed25519:" + "0" * 64, "G" * 128, "malformed"),
        ("p256:02" + "0" * 64, "0" * 128, ""),
    ],
)
def test_any_text_may_stand_for_a_key_or_a_signature(key: str, signature: str, why: str) -> None:
    found = failure(key, signature, b"message")
    assert found
    assert why in found


def test_what_is_not_a_key_that_signs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

    pem, pkcs8 = form.Encoding.PEM, form.PrivateFormat.PKCS8
    made = x25519.X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())
    own = (*made, rsa.generate_private_key(65537, 2048))
    others = [each.private_bytes(pem, pkcs8, form.NoEncryption()) for each in own]
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        pem, pkcs8, form.BestAvailableEncryption(b"secret")
    )
    for data in (*others, locked, b"", b"nonsense", public("alice"), private("alice")[:60]):
        with pytest.raises(ValueError, match="key: the bytes") as caught:
            signing_key("key", data)
        assert not data[40:60] or data[40:60].decode() not in str(caught.value)
    with pytest.raises(ValueError, match="is a private key; pass the public one"):
        public_key("key", private("alice"))
    with pytest.raises(ValueError, match="neither an Ed25519 nor a P-256 key"):
        public_key("key", form.load_pem_private_key(others[1], None).public_key().public_bytes(
            pem, form.PublicFormat.SubjectPublicKeyInfo
        ))  # fmt: skip
    with pytest.raises(NotFoundError, match="there is no file"):
        signing_key("key", tmp_path / "missing.key")
    with pytest.raises(CannotReadError):
        signing_key("key", tmp_path)
    (tmp_path / "large").write_bytes(b"-" * 100_000)
    with pytest.raises(ValueError, match="too large"):
        signing_key("key", tmp_path / "large")
    monkeypatch.delenv("NOTHING", raising=False)
    with pytest.raises(NotFoundError, match="NOTHING is not set"):
        signing_key("key", "env:NOTHING")
    for wrong in (3, None, ["a"]):
        with pytest.raises(TypeError, match="key: "):
            signing_key("key", wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="signed_by"):
        public_keys("signed_by", 3)  # type: ignore[arg-type]


def test_keys_with_which_anybody_can_sign_are_refused() -> None:
    """The points whose order divides 8, computed here: y or y + p, and the bit for x."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def double(y: int) -> int | None:
        """The y of twice the point; None if there is no point with this y."""
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        if square and pow(square, (p - 1) // 2, p) != 1:
            return None
        return (y * y + square) * pow(1 - d * square * y * y, -1, p) % p

    small = {1, p - 1, 0}  # orders 1, 2 and 4
    for y in (int.from_bytes(bytes.fromhex(text), "little") % 2**255 for text in EIGHT):
        assert double(y) == 0  # twice it has order 4, so it has order 8
        small.add(y)
    found = {
        (value | sign << 255).to_bytes(32, "little").hex()
        for y in small
        for value in (y, y + p)
        if value < 2**255
        for sign in (0, 1)
    }
    assert found == _SMALL
    assert len(found) == 14
    for digits in found:
        assert failure(f"ed25519:{digits}", "0" * 128, b"x").startswith("anybody can sign with that key")
        pem = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n"
        der = bytes.fromhex("302a300506032b6570032100" + digits)
        for source in (f"ed25519:{digits}", pem % base64.b64encode(der)):
            with pytest.raises(
                ValueError, match=r"signed_by: .*: anybody can sign with that key, which is of small"
            ):
                public_keys("signed_by", source)


def test_what_is_not_a_point_of_its_curve_is_not_a_key() -> None:
    """As the library says it of P-256, and by the equation of the other curve."""
    from cryptography.hazmat.primitives.asymmetric import ec

    p = 2**255 - 19
    for number in range(200):
        raw = blake3(bytes([number])).digest()
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\2" + raw)
            sound = True
        except ValueError:
            sound = False
        assert is_point("p256", b"\2" + raw) == sound
        y = int.from_bytes(raw, "little") % 2**255 % p
        x2 = (y * y - 1) * pow(-121665 * pow(121666, -1, p) * y * y + 1, -1, p) % p
        root = pow(x2, (p + 3) // 8, p)
        found = any(root * turn * root * turn % p == x2 for turn in (1, pow(2, (p - 1) // 4, p)))
        assert is_point("ed25519", y.to_bytes(32, "little")) == found
    for key in ("p256:02" + "f" * 64, "ed25519:02" + "0" * 62):
        assert failure(key, "0" * 128, b"x") == "the key is not a point of its curve"
        with pytest.raises(
            ValueError, match=r"key: .*: the key is not a point of its curve; pass another one"
        ):
            public_key("key", key)
    for name in NAMES:
        assert public_key("key", text_of(name)) == text_of(name)


EIGHT = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
"""Points of order 8."""


def test_a_private_key_is_never_shown_or_copied() -> None:
    import copy
    import pickle

    found = key_of("alice")
    assert "01" * 32 not in repr(found)
    assert repr(found) == f"<key {text_of('alice')[:20]}…>"
    for call in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied"):
            call(found)
