"""Where keys come from: files, environment variables, commands, the key ring of the system, the terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeAlias

from saver.errors import IncompatibleError, KeyNeededError, SaverError, WrongKeyError, kind_of
from saver.keys import age
from saver.keys.asking import ask
from saver.keys.fetching import from_command, from_environment, from_key_ring
from saver.keys.files import LIMIT, identities_in, is_protected, read_key_file, shown_path
from saver.keys.secret import Identity, Passphrase, shielded
from saver.keys.typed import typed

Fetch: TypeAlias = Callable[[], Any]

_FETCHERS: dict[str, Callable[[str], str]] = {
    "env": from_environment, "command": from_command, "keyring": from_key_ring,
}  # fmt: skip

PROMPT = "prompt"

_WAYS = (
    "the path of a key file, 'env:NAME', 'command:PROGRAM ARGUMENTS', 'keyring:SERVICE/NAME', 'prompt', a "
    "function that returns the key, or saver.Keys of several"
)


class _Source:
    """One place of keys. `name` says which, in messages."""

    def __init__(self, name: str, fetch: Fetch) -> None:
        self.name, self.fetch = name, fetch


class Keys:
    """Keys, by where they come from: the path of a key file, `env:NAME`, `command:PROGRAM ARGUMENTS` (run
    without a shell; what it prints is the key), `keyring:SERVICE/NAME`, `prompt` (asks on the terminal), or a
    function that returns the key. What is found there is an identity if it begins with `AGE-SECRET-KEY-1`,
    and otherwise a passphrase.

    Nothing is fetched before it is needed, and then once. Neither `repr` nor an error shows a secret, and
    keys are not pickled.
    """

    @shielded
    def __init__(self, *sources: Any) -> None:
        self._prompt = any(map(_asks, sources))
        self._sources = [found for each in sources for found in _sources(each)]
        self._lock = threading.RLock()
        self._fetched: tuple[list[Identity], list[Passphrase], list[tuple[str, bytes]]] | None = None
        self._opened: list[Identity] | None = None
        self._typed = typed()

    @classmethod
    @shielded
    def of(cls, value: Any) -> Keys:
        """The keys that an argument `key=` names: keys, one source, several in a list or tuple, or None for
        no key."""
        if isinstance(value, Keys):
            return value
        if value is None:
            return cls()
        return cls(*value) if isinstance(value, list | tuple) else cls(value)

    def __bool__(self) -> bool:
        """Whether there is any source."""
        return bool(self._sources) or self._prompt

    def __repr__(self) -> str:
        names = [source.name for source in self._sources] + [PROMPT] * self._prompt
        return f"saver.Keys({', '.join(names)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("saver.Keys is not pickled or copied; make it anew in the other process")

    def identities(self) -> list[Identity]:
        """The identities that need no passphrase. Raises what a source raises."""
        return list(self._all()[0])

    def passphrases(self, place: str) -> list[Passphrase]:
        """The passphrases, to open this place: a file or a store; `prompt` asks for one now."""
        return [*self._all()[1], *(each for each in self._answers(place) if isinstance(each, Passphrase))]

    def new_passphrases(self, place: str) -> list[Passphrase]:
        """The passphrases, for a new file or store: a typed one is typed twice, since nothing would notice a
        slip. Raises KeyNeededError if it differs."""
        answers = self._typed.for_new(place, lambda: _new(place)) if self._prompt else ()
        return [*self._all()[1], *(each for each in answers if isinstance(each, Passphrase))]

    def protected(self, place: str) -> list[Identity]:
        """The identities that a passphrase opens, in key files; and those that were typed. Asks for the
        passphrase on the terminal if none of those that are known opens a file. Raises WrongKeyError, or
        KeyNeededError without a terminal."""
        answers = [each for each in self._answers(place) if isinstance(each, Identity)]
        with self._lock:
            if self._opened is None:
                self._opened = [each for name, data in self._all()[2] for each in self._open(name, data)]
            return [*self._opened, *answers]

    def again(self, place: str) -> bool:
        """Ask what opens this place, if what is known does not, but was typed for another one. Whether there
        is more to try now."""
        return self._prompt and self._typed.again(place, lambda: _asked(place))

    def _all(self) -> tuple[list[Identity], list[Passphrase], list[tuple[str, bytes]]]:
        with self._lock:
            if self._fetched is None:
                self._fetched = _fetched(self._sources)
            return self._fetched

    def _answers(self, place: str) -> list[Identity | Passphrase]:
        """What was typed, for this place or for another one; asks if that is nothing."""
        if self._prompt:
            self._typed.first(place, lambda: _asked(place))
        return [*self._typed.answers] if self._prompt else []

    def _open(self, name: str, data: bytes) -> list[Identity]:
        """The identities in an encrypted key file. If no passphrase was passed, it is typed."""
        shown, passed = name.removeprefix("key: "), self._all()[1]
        while True:
            known = [*passed, *(each for each in self._typed.answers if isinstance(each, Passphrase))]
            try:
                if known:
                    return _opened(name, data, known)
                wrong: SaverError = KeyNeededError(
                    f"{name} is encrypted with a passphrase, and a key was typed; type the passphrase"
                )
            except WrongKeyError as error:
                wrong = error
            if passed or not self._typed.again(shown, lambda: _asked(shown, "Passphrase")):
                raise wrong


@shielded
def _asked(place: str, what: str = "Key or passphrase") -> list[Identity | Passphrase]:
    """What somebody types to open a place."""
    return _said(f"{what} of {place}")


@shielded
def _said(question: str) -> list[Identity | Passphrase]:
    """The answer to a question."""
    text = ask(f"{question}: ")
    if not text:
        raise KeyNeededError(f"{question}: nothing was typed; nothing was done; try again")
    return _read(question, text)


@shielded
def _new(place: str) -> list[Identity | Passphrase]:
    """What somebody types for a new place: a passphrase twice."""
    found = _said(f"Key or new passphrase for {place}")
    phrased = any(isinstance(each, Passphrase) for each in found)
    if phrased and Passphrase(ask(f"The same once more, for {place}: ")) not in found:
        raise KeyNeededError(f"{place}: the second passphrase differs; nothing was written; try again")
    return found


@shielded
def _opened(name: str, data: bytes, passphrases: list[Passphrase]) -> list[Identity]:
    found = identities_in(age.unwrap(data, (), passphrases, name).decode("utf-8", "replace"), name)
    if not found:
        raise IncompatibleError(f"{name}: what it holds is not a key of age; pass another key file")
    return found


@shielded
def _read(name: str, text: str) -> list[Identity | Passphrase]:
    """What a text is: identities, or a passphrase."""
    found = identities_in(text, name)
    if found:
        return [*found]
    phrase = text[:-1].removesuffix("\r") if text.endswith("\n") else text
    if not phrase:
        raise KeyNeededError(f"{name}: there is nothing; put the key or the passphrase there")
    if not phrase.isprintable():
        raise IncompatibleError(
            f"{name}: this is neither a key of age nor a passphrase, which is one line of printable "
            "characters; name another source"
        )
    return [Passphrase(phrase)]


def _fetched(
    sources: Iterable[_Source],
) -> tuple[list[Identity], list[Passphrase], list[tuple[str, bytes]]]:
    identities, passphrases, files = list[Identity](), list[Passphrase](), list[tuple[str, bytes]]()
    for source in sources:
        for each in _from(source):
            if isinstance(each, Identity):
                identities.append(each)
            elif isinstance(each, Passphrase):
                passphrases.append(each)
            else:
                files.append((source.name, each))
    return identities, passphrases, files


@shielded
def _from(source: _Source) -> list[Identity | Passphrase] | list[bytes]:
    """What a source gives: an encrypted key file as its bytes."""
    found = source.fetch()
    if not isinstance(found, str | bytes):
        raise TypeError(f"{source.name} returned {kind_of(found)}; return the key as str or bytes")
    data = found.encode("utf-8", "surrogateescape") if isinstance(found, str) else bytes(found)
    if len(data) > LIMIT:
        raise IncompatibleError(f"{source.name} gives more than {LIMIT:,} bytes, so it is not a key")
    if is_protected(data):
        return [data]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise IncompatibleError(f"{source.name} gives bytes that are not UTF-8, so it is not a key") from None
    return _read(source.name, text)


def _asks(value: Any) -> bool:
    """Whether a source is a question on the terminal."""
    return value._prompt if isinstance(value, Keys) else isinstance(value, str) and value == PROMPT


def _sources(value: Any) -> list[_Source]:
    """The sources that a value names. Raises ValueError or TypeError, which do not show it."""
    if isinstance(value, Keys):
        return value._sources
    if callable(value):
        return [_Source("key: the function", value)]
    if isinstance(value, os.PathLike):
        return [_file(os.fsdecode(value))]
    if not isinstance(value, str):
        raise TypeError(f"key: {kind_of(value)} does not say where a key is; pass {_WAYS}")
    return [] if value == PROMPT else [_named(value)]


def _named(text: str) -> _Source:
    scheme, colon, rest = text.partition(":")
    if colon and scheme in _FETCHERS:
        if not rest:
            raise ValueError(f"key: {scheme}: names nothing; pass {_WAYS}")
        shown = rest.split()[0] if scheme == "command" and rest.strip() else rest
        return _Source(f"key: {scheme}:{shown}", lambda: _FETCHERS[scheme](rest))
    if scheme == "passphrase" or age.is_secret(text):
        raise ValueError(
            "key: secrets are not arguments, which end up in histories and logs; pass 'prompt' to be asked "
            "for it, or put it into an environment variable and pass 'env:NAME'"
        )
    return _file(text)


def _file(path: str) -> _Source:
    if not path or "\0" in path:
        raise ValueError(f"key: this cannot be a path; pass {_WAYS}")
    return _Source(f"key: {shown_path(path)}", lambda: read_key_file(path))
