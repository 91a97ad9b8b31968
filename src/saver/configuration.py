"""The user's configuration file, which adds to what files may ask for (`saver.trust`):

trust = ["mypackage.*"]

[classes]
"__main__.Net" = "mypackage.Net"

It may also name the file that says what must be signed by whom (`saver.signing.policy`):

trust_file = "trust.toml"
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import Any

from saver.errors import CannotReadError, IncompatibleError

VARIABLE = "SAVER_CONFIG"
"""The environment variable that names the configuration file, if it is not the default one."""


def _settings(path: str) -> dict[str, Any]:
    """What a configuration file says; nothing, if there is no such file. Errors as in `read`."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        if path != os.environ.get(VARIABLE):
            return {}  # as in a container whose user may not enter HOME: trusting less is safe
        raise CannotReadError(
            f"${VARIABLE} is {path}: {error.strerror}; name a file that can be read, or unset it"
        ) from error
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except ValueError as error:
        raise IncompatibleError(f"{path} is not valid TOML ({error}); correct it or remove it") from None


@cache
def read(path: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a configuration file allows: patterns of names, and names of classes by the names that files use;
    nothing, if there is no such file.

    Raises IncompatibleError if it is malformed, and CannotReadError if the user named it and it is
    unreadable.
    """
    settings = _settings(path)
    patterns, classes = settings.get("trust", []), settings.get("classes", {})
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise IncompatibleError(f'{path}: `trust` must be a list of names, as in trust = ["mypackage.*"]')
    if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes.values()):
        raise IncompatibleError(
            f'{path}: `classes` must be a table of names, with lines such as "__main__.Net" = "mypackage.Net"'
        )
    return tuple(patterns), {name.replace(":", "."): given for name, given in classes.items()}


def trust_file() -> str:
    """The trust file that the user's configuration names, relative to itself; "" if it names none. Errors as
    in `read`."""
    named, here = _place()
    if not named and _is_missing(here):
        return ""
    found = _settings(here).get("trust_file", "")
    if not isinstance(found, str):
        raise IncompatibleError(f'{here}: `trust_file` must be a path, as in trust_file = "trust.toml"')
    return os.path.join(os.path.dirname(here), found) if found else ""


def _is_missing(path: str) -> bool:
    """Whether there is no such file, as far as this process may know. It costs a tenth of a failed `open`."""
    return not os.access(path, os.F_OK, effective_ids=_EFFECTIVE)


_EFFECTIVE = os.access in os.supports_effective_ids


def path() -> str:
    """The user's configuration file: `$SAVER_CONFIG`, or `saver/config.toml` in the XDG folder. The latter
    counts as empty if it cannot be read."""
    return _place()[1]


def _place() -> tuple[bool, str]:
    """Whether `$SAVER_CONFIG` names the configuration file, and its path."""
    named = os.environ.get(VARIABLE)
    if named:
        return True, named
    return False, _usual_place(os.environ.get("XDG_CONFIG_HOME"), os.environ.get("HOME"))


@lru_cache(16)
def _usual_place(settings: str | None, home: str | None) -> str:
    """The path of the configuration file, given the values of `$XDG_CONFIG_HOME` and `$HOME`."""
    folder = settings or os.path.join(home or os.path.expanduser("~"), ".config")
    return os.path.join(folder, "saver", "config.toml")
