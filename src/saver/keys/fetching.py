"""Keys from outside of the process: an environment variable, a command, the key ring of the system."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Any

from saver.errors import CannotReadError, IncompatibleError, NotFoundError

PATIENCE = 60.0
"""Seconds that a command may take: somebody may have to touch a token."""


def from_environment(name: str) -> str:
    """What an environment variable holds. Raises NotFoundError."""
    found = os.environ.get(name)
    if not found:
        raise NotFoundError(f"key: the environment variable {name} is not set; set it, or pass another key")
    return found


def from_command(text: str) -> str:
    """What a command prints. Raises CannotReadError, which does not show that: it may be the key."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise ValueError("key: command: is not a command; close its quotation marks, and name a program")
    way = "run it in a terminal to see what it says"
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotReadError(f"key: {words[0]} did not end within {PATIENCE:.0f} s; {way}") from None
    except OSError as error:
        raise CannotReadError(f"key: {words[0]}: {error.strerror or 'it cannot be run'}; {way}") from None
    if done.returncode:
        raise CannotReadError(f"key: {words[0]} failed with exit code {done.returncode}; {way}")
    return done.stdout.decode("utf-8", "surrogateescape")


def from_key_ring(text: str) -> str:
    """The password of `SERVICE/NAME` in the key ring of the system. Raises NotFoundError, CannotReadError,
    and IncompatibleError if the package `keyring` is not installed."""
    service, slash, name = text.rpartition("/")
    if not slash or not service or not name:
        raise ValueError("key: keyring: names no entry; write keyring:SERVICE/NAME")
    ring = _key_ring()
    try:
        found = ring.get_password(service, name)
    except Exception as error:  # of the key ring's own code
        raise CannotReadError(
            f"key: the key ring of this system cannot be read ({type(error).__name__}); unlock it, or pass "
            "another key"
        ) from None
    if not found:
        raise NotFoundError(
            f"key: the key ring has no entry {text}; make one with: keyring set {service} {name}"
        )
    return str(found)


def _key_ring() -> Any:
    try:
        import keyring
    except ImportError:
        raise IncompatibleError(
            "key: keyring: needs the package keyring, which is not installed; pip install keyring"
        ) from None
    return keyring
