"""What helps somebody who cannot open what is sealed, for messages: it can be typed."""

from __future__ import annotations

PASS = (
    "pass one that opens it: key=FILE, --key FILE (repeat it to pass several), or SAVER_KEY; if you have "
    "none, make one with `saver key new YOUR.key`"
)

INTO_FILE = f"{PASS}, and have the file sealed for it: `saver export REF FILE --to YOUR.key.pub`"


def into_store(place: str) -> str:
    """The store at this place: one who can open it lets others in."""
    from shlex import quote  # errors alone need it

    return f"{PASS}, and have a holder add it: `saver key add {quote(place)} YOUR.key.pub --key THEIR.key`"


def into_hub(place: str) -> str:
    """What is pushed to this place of a hub."""
    return f"{PASS}, and have somebody push for it: `saver push REF {place} --to YOUR.key.pub`"
