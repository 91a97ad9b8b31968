"""A Sigstore bundle that a key signed: a DSSE envelope, as files of the format model-signing are.

Of the two texts that base64 could have, and of the fields that a bundle could have besides, none is accepted:
a bundle of which a byte was changed is an error.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Final

import msgspec

from saver.errors import IncompatibleError, SignatureError, quoted
from saver.signing.keys import key_formats

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"

EXAMPLE: Final = "name the bundle that `saver sign --format model-signing` or model-signing wrote"

LARGEST: Final = 256 << 20
"""Bytes of a bundle: it has some 200 for each file."""

_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


class _PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    hint: str | None = None
    raw_bytes: str | None = None
    key_details: str | None = None


class _Material(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    public_key: _PublicKey | None = None
    certificate: Any = None
    x509_certificate_chain: Any = None
    tlog_entries: tuple[Any, ...] = ()
    timestamp_verification_data: Any = None


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sig: str
    keyid: str | None = None


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


class _Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


def signed(payload: bytes, key: Any) -> bytes:
    """The bundle with a payload and its signature by a private key."""
    public = key.public_key()
    signature = _text(key.sign(_message(payload), _ecdsa(public)))
    envelope = _Envelope(_text(payload), PAYLOAD_TYPE, (_Signature(signature, ""),))
    return msgspec.json.encode(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": _hint(public)}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
    )


def verified(bundle: bytes, key: Any) -> bytes:
    """The payload of a bundle that this public key signed. Raises SignatureError, or IncompatibleError for
    anything but a bundle of a key."""
    return _payload(_parsed(bundle), key)


def _parsed(bundle: bytes) -> _Bundle:
    if len(bundle) > LARGEST:
        raise IncompatibleError(f"a signature of {len(bundle):,} bytes; more than {LARGEST:,} are not read")
    try:
        found = msgspec.json.decode(bundle, type=_Bundle)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IncompatibleError(
            f"this is not a signature of the format model-signing ({error}); {EXAMPLE}"
        ) from None
    if found.media_type != MEDIA_TYPE:
        raise IncompatibleError(f"a bundle of the kind {quoted(found.media_type)}, not {MEDIA_TYPE}")
    material = found.verification_material
    if material.certificate is not None or material.x509_certificate_chain is not None:
        raise IncompatibleError(
            "it was signed with a certificate, which only its issuer's servers can vouch for; verify it with "
            "the package model-signing"
        )
    return found


def _payload(bundle: _Bundle, key: Any) -> bytes:
    """The bytes that a key has signed. Raises SignatureError."""
    material, envelope = bundle.verification_material.public_key, bundle.dsse_envelope
    if material is not None and material.hint and material.hint != _hint(key):
        raise SignatureError(
            f"it is signed by another key: {quoted(material.hint[:16])}…, not {_hint(key)[:16]}…; pass the "
            "public key of who signed it"
        )
    if envelope.payload_type != PAYLOAD_TYPE or len(envelope.signatures) != 1:
        raise IncompatibleError(f"the signature is not one of a {PAYLOAD_TYPE}; {EXAMPLE}")
    payload, signature = _bytes(envelope.payload), _bytes(envelope.signatures[0].sig)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _message(payload), _ecdsa(key))
    except InvalidSignature:
        raise SignatureError(
            "the signature does not verify: it was changed, or another key made it; get it again from who "
            "signed the files"
        ) from None
    return payload


def _message(payload: bytes) -> bytes:
    """What is signed: the pre-authentication encoding of DSSE."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    """What base64 says; it has one form only, so that no other text is as good."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or _text(data) != text:
        raise IncompatibleError(f"the signature has something that is not base64; {EXAMPLE}")
    return data


# Keys


def private_key(pem: bytes, password: bytes | None) -> Any:
    load = key_formats().load_pem_private_key
    try:
        found = load(pem, password)
    except TypeError:
        needed = "it is locked: pass its passphrase" if password is None else "it has no passphrase"
        raise ValueError(f"private_key: {needed}") from None
    except Exception:  # of a library, for bytes that may be anything, and that it may quote
        raise ValueError(
            "private_key: this is not a private key in PEM, or its passphrase is wrong; pass one of "
            "`saver key new --type p256`, or type it again"
        ) from None
    _check_curve("private_key", found)
    return found


def public_key(pem: bytes) -> Any:
    load = key_formats().load_pem_public_key
    try:
        found = load(pem)
    except Exception:
        what = "this is a private key" if b"PRIVATE KEY" in pem else "this is not a public key in PEM"
        raise ValueError(f"public_key: {what}; pass the public one") from None
    _check_curve("public_key", found)
    return found


def _check_curve(name: str, key: Any) -> None:
    if getattr(getattr(key, "curve", None), "name", "") not in _HASHES:
        kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
        raise ValueError(
            f"{name}: a key of the type {kind}; the format model-signing knows keys on the curves P-256, "
            "P-384 and P-521 alone, so other tools would refuse the signature; `saver key new --type p256` "
            "makes one"
        )


def _hint(key: Any) -> str:
    """How a bundle names its key."""
    serialization = key_formats()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.PEM, form)).hexdigest()


def _ecdsa(key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, _HASHES[key.curve.name])())
