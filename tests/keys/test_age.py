"""Files in the format of age: what is written is read again, here and by the program `age`, both ways."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

from saver.errors import IncompatibleError, KeyNeededError, SaverError, WrongKeyError
from saver.keys import age, scrypt
from saver.keys.header import from_base64, parse, to_base64

GOLDEN = Path(__file__).parents[1] / "golden" / "keys"

ANN, BOB = age.new_identity(), age.new_identity()

SIZES = [0, 1, 16, 47, 48, 49, 65535, 65536, 65537, 131072, 200_000, age.CONTENT]
"""Of contents: around chunks of the payload, and the largest."""

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="the program age is not installed")


def content(size: int) -> bytes:
    return hashlib.shake_128(b"content").digest(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_wrapped_is_unwrapped(size: int) -> None:
    data = content(size)
    assert age.unwrap(age.wrap(data, [ANN.public, BOB.public]), [BOB]) == data
    assert age.unwrap(age.wrap_for_passphrase(data, "a passphrase"), (), ["other", "a passphrase"]) == data


@given(st.binary(max_size=300), st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
def test_any_content_and_passphrase_come_back(data: bytes, passphrase: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scrypt, "FACTOR", 10)
        assert age.unwrap(age.wrap_for_passphrase(data, passphrase), (), [passphrase]) == data


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 63, 64])
def test_a_file_is_for_up_to_64_recipients_and_each_opens_it(count: int) -> None:
    holders = [age.new_identity() for _ in range(count)]
    data = age.wrap(b"data", [each.public for each in holders])
    assert all(age.unwrap(data, [each]) == b"data" for each in holders)
    with pytest.raises(WrongKeyError, match="the 2 keys do not open it"):
        age.unwrap(data, [ANN, BOB])


@pytest.mark.parametrize("count", [0, 65])
def test_other_numbers_of_recipients_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} public keys were passed; pass 1 to 64"):
        age.wrap(b"data", [ANN.public] * count)


def test_what_is_too_large_is_refused() -> None:
    for act in (lambda data: age.wrap(data, [ANN.public]), lambda data: age.wrap_for_passphrase(data, "a")):
        with pytest.raises(ValueError, match="the content has 1,048,577 bytes"):
            act(b"x" * (age.CONTENT + 1))
    with pytest.raises(IncompatibleError, match="has 3,000,000 bytes"):
        age.unwrap(age.wrap(b"", [ANN.public]).ljust(3_000_000), [ANN])


def test_an_error_says_which_key_is_needed() -> None:
    sealed, phrased = age.wrap(b"data", [ANN.public]), age.wrap_for_passphrase(b"data", "a")
    with pytest.raises(KeyNeededError, match="is encrypted for recipients; pass the key file"):
        age.unwrap(sealed, (), ["a"])
    with pytest.raises(KeyNeededError, match="is encrypted with a passphrase"):
        age.unwrap(phrased, [ANN])
    with pytest.raises(WrongKeyError, match="the key does not open it"):
        age.unwrap(sealed, [BOB])
    with pytest.raises(WrongKeyError, match="the passphrase does not open it"):
        age.unwrap(phrased, (), ["b"])
    with pytest.raises(WrongKeyError, match="the 2 passphrases do not open it"):
        age.unwrap(phrased, (), ["b", "c"])


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(ValueError, match="the passphrase is empty"):
        age.wrap_for_passphrase(b"data", "")
    for act in (age.wrap_for_passphrase, lambda data, text: age.unwrap(data, (), [text])):
        with pytest.raises(ValueError, match="a character that UTF-8 lacks"):
            act(b"data", "secret\ud800")


@pytest.mark.parametrize("text", ["", "age1", "age1xyz", "ssh-ed25519 AAAA", "x" * 1000, "age1\n", "\ud800"])
def test_a_recipient_is_a_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="is not a public key of age") as caught:
        age.wrap(b"data", [text])
    assert not isinstance(caught.value, SaverError | UnicodeError)


def test_nothing_is_sealed_for_a_key_of_small_order() -> None:
    """In no encoding: with y or y + p, and with the first bit, which X25519 does not read."""
    p = 2**255 - 19
    eight = (bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
             bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"))  # fmt: skip
    points = {0, 1, p - 1, *(int.from_bytes(each, "little") for each in eight)}
    found = {y | top << 255 for each in points for y in (each, each + p) if y < 2**255 for top in (0, 1)}
    assert len(found) == 14
    for each in found:
        with pytest.raises(ValueError, match=r"age1.* is a key of small order"):
            age.wrap(b"data", [bech32(each.to_bytes(32, "little"))])
    assert bech32(raw_of(ANN.public)) == ANN.public
    assert age.check_recipient(ANN.public) == ANN.public


DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def raw_of(text: str) -> bytes:
    value = 0
    for char in text[4:-6]:
        value = value << 5 | DIGITS.index(char)
    return (value >> 4).to_bytes(32, "big")


def bech32(raw: bytes) -> str:
    """A public key of age with these bytes: BIP 173."""
    value = int.from_bytes(raw, "big") << 4
    data = [value >> 5 * at & 31 for at in reversed(range(52))]
    check = 1
    for each in (3, 3, 3, 0, 1, 7, 5, *data, *[0] * 6):  # of `age`
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ each
        for at, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term * (top >> at & 1)
    data += [(check ^ 1) >> 5 * at & 31 for at in reversed(range(6))]
    return "age1" + "".join(DIGITS[each] for each in data)


def test_a_secret_key_is_not_taken_for_a_public_one_and_not_shown() -> None:
    with pytest.raises(ValueError, match="the recipient is a secret key") as caught:
        age.wrap(b"data", [ANN.reveal()])
    assert ANN.reveal()[20:] not in str(caught.value)


def test_the_work_factor_that_is_written_costs_an_attacker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert scrypt.FACTOR == 18
    assert 18 in scrypt.FACTORS


@pytest.mark.parametrize("size", range(100))
def test_base64_is_as_in_the_header(size: int) -> None:
    text = to_base64(content(size))
    assert b"=" not in text
    assert from_base64(text) == content(size)


# The program age


@needs_age
@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_is_wrapped_for_recipients(size: int, tmp_path: Path) -> None:
    (tmp_path / "data.age").write_bytes(age.wrap(content(size), [BOB.public, ANN.public]))
    (tmp_path / "ann.key").write_text(f"# a comment\n{ANN.reveal()}\n")
    assert _age(tmp_path, "-d", "-i", "ann.key", "data.age") == content(size)


@needs_age
@pytest.mark.parametrize("size", SIZES)
def test_what_age_wraps_for_recipients_is_opened(size: int, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(content(size))
    made = _age(tmp_path, "-r", BOB.public, "-r", ANN.public, "data")
    assert age.unwrap(made, [ANN]) == content(size)


@needs_age
@pytest.mark.parametrize("size", [1, 65536, 200_000])
def test_age_opens_what_is_wrapped_for_a_passphrase(size: int, tmp_path: Path) -> None:
    (tmp_path / "data.age").write_bytes(age.wrap_for_passphrase(content(size), "correct horse"))
    _typed(tmp_path, ["age", "-d", "-o", "data", "data.age"], "correct horse\n")
    assert (tmp_path / "data").read_bytes() == content(size)


@needs_age
@pytest.mark.slow
def test_what_age_wraps_for_a_passphrase_is_opened(tmp_path: Path) -> None:
    """It asks twice, and takes about as long as our own."""
    (tmp_path / "data").write_bytes(content(70_000))
    _typed(tmp_path, ["age", "-p", "-o", "data.age", "data"], "correct horse\n", "correct horse\n")
    data = (tmp_path / "data.age").read_bytes()
    assert parse(data, "").stanzas[0].arguments[1] == b"18"
    assert age.unwrap(data, (), ["correct horse"]) == content(70_000)


@needs_age
def test_a_key_of_age_keygen_is_an_identity(tmp_path: Path) -> None:
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    secret = made.splitlines()[-1]
    found = age.identity(secret, "key")
    assert f"# public key: {found.public}" in made.splitlines()
    assert age.unwrap(age.wrap(b"data", [found.public]), [found]) == b"data"


def _age(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["age", *arguments], cwd=folder, capture_output=True, check=True).stdout


def _typed(folder: Path, command: list[str], *answers: str) -> None:
    """Run a command that asks on its terminal, and type the answers."""
    pty = pytest.importorskip("pty")
    main, side = pty.openpty()
    with subprocess.Popen(
        command, cwd=folder, stdin=side, stdout=side, stderr=side, preexec_fn=lambda: os.login_tty(side)
    ) as process:
        os.close(side)
        waiting, seen = list(answers), b""
        while True:
            if not select.select([main], [], [], 60)[0]:
                process.terminate()
            try:
                block = os.read(main, 4096)
            except OSError:  # the other side is closed
                break
            if not block:
                break
            seen += block
            if waiting and seen.rstrip().endswith(b":"):
                os.write(main, waiting.pop(0).encode())
                seen = b""
        assert process.wait() == 0, seen
    os.close(main)


# Golden files


def test_fixed_keys_and_random_bytes_give_fixed_files() -> None:
    """tests/golden/keys/make.py writes them, once."""
    for size in (0, 100, 70_000):
        made = age.wrap_for_passphrase(content(size), "correct horse", _fixed())
        golden = (GOLDEN / f"passphrase.{size}.1.age").read_bytes()
        assert made == golden
        assert age.unwrap(golden, (), ["correct horse"]) == content(size)


@pytest.mark.parametrize("name", ["recipients.1.age", "by-age.1.age"])
def test_golden_files_for_recipients_are_read(name: str) -> None:
    """Of pyrage, and of the program age."""
    (identity,) = (
        line for line in (GOLDEN / "golden.key").read_text().splitlines() if line.startswith("AGE-")
    )
    assert age.unwrap((GOLDEN / name).read_bytes(), [age.identity(identity, "")]) == content(100)


def _fixed():
    """Random bytes that are always the same."""
    source = hashlib.shake_256(b"random").digest(1000)
    taken = 0

    def take(size: int) -> bytes:
        nonlocal taken
        taken += size
        return source[taken - size : taken]

    return take
