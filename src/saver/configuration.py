"""The user's configuration file, which adds to what files may ask for (`saver.trust`):

trust = ["mypackage.*"]

[classes]
"__main__.Net" = "mypackage.Net"
"""

from __future__ import annotations

import os
from functools import cache, lru_cache

from saver.errors import CannotReadError, IncompatibleError

VARIABLE = "SAVER_CONFIG"
"""The environment variable that names the configuration file, if it is not the default one."""


@cache
def read(path: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a configuration file allows: patterns of names, and names of classes by the names that files use;
    nothing, if there is no such file.

    Raises IncompatibleError if it is malformed, and CannotReadError if the user named it and it is
    unreadable.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return (), {}
    except OSError as error:
        if path != os.environ.get(VARIABLE):
            return (), {}  # as in a container whose user may not enter HOME: trusting less is safe
        raise CannotReadError(
            f"${VARIABLE} is {path}: {error.strerror}; name a file that can be read, or unset it"
        ) from error
    import tomllib

    try:
        settings = tomllib.loads(data.decode())
    except ValueError as error:
        raise IncompatibleError(f"{path} is not valid TOML ({error}); correct it or remove it") from None
    patterns, classes = settings.get("trust", []), settings.get("classes", {})
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise IncompatibleError(f'{path}: `trust` must be a list of names, as in trust = ["mypackage.*"]')
    if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes.values()):
        raise IncompatibleError(
            f'{path}: `classes` must be a table of names, with lines such as "__main__.Net" = "mypackage.Net"'
        )
    return tuple(patterns), {name.replace(":", "."): given for name, given in classes.items()}


def path() -> str:
    """The user's configuration file: `$SAVER_CONFIG`, or `saver/config.toml` in the XDG folder. The latter
    counts as empty if it cannot be read."""
    named = os.environ.get(VARIABLE)
    return named or _usual_place(os.environ.get("XDG_CONFIG_HOME"), os.environ.get("HOME"))


@lru_cache(16)
def _usual_place(settings: str | None, home: str | None) -> str:
    """The path of the configuration file, given the values of `$XDG_CONFIG_HOME` and `$HOME`."""
    folder = settings or os.path.join(home or os.path.expanduser("~"), ".config")
    return os.path.join(folder, "saver", "config.toml")
