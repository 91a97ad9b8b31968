"""Addresses of buckets: `s3://bucket/folder?region=eu-central-1`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from saver.errors import IncompatibleError, quoted
from saver.storage import Storage
from saver.storages._deadline import deadline_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

DEADLINE = 120.0
"""Seconds in which a request is repeated, by default."""

LONGEST = 5
"""One request may take this many times the deadline: twelve parts of 8 MiB are sent at the same time, and
over a line of 10 Mbit/s that takes 80 seconds."""

_OPTIONS = ("endpoint", "region", "anonymous", "deadline")
_WAYS = f"the options of an address are {', '.join(_OPTIONS)}; secrets belong into environment variables"


def open_storage(address: str) -> Storage:
    """The storage at an address: `s3://`, `gs://` or `az://`, the bucket, perhaps a folder in it, and perhaps
    options: `?endpoint=https://host:port`, `region=`, `anonymous=true`, `deadline=SECONDS`.

    Credentials come from where the libraries of the three services look for them: the environment
    (`AWS_ACCESS_KEY_ID` …, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` …), or the machine
    itself. Raises ValueError, and IncompatibleError if `obstore` is not installed.
    """
    try:
        parts = urlsplit(address)
        bucket = parts.netloc
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ValueError(f"store: {quoted(address)} is not an address: {error}") from None
    if not bucket or "@" in bucket or ":" in bucket or parts.fragment or options.keys() - {*_OPTIONS}:
        raise ValueError(
            f"store: {quoted(_public(address))} is not the address of a bucket; write "
            f"{parts.scheme}://bucket/folder; {_WAYS}"
        )
    folder = parts.path.strip("/")
    given = options.pop("deadline", DEADLINE)
    deadline = deadline_of(given, str(given))
    shown = f"{parts.scheme}://{bucket}" + (f"/{folder}" if folder else "")
    from saver.storages.object.storage import ObjectStorage

    store = _store(parts.scheme, bucket, folder, options, deadline)
    return ObjectStorage(shown, store, deadline, options.get("endpoint", ""))


def _public(address: str) -> str:
    """An address without what could be a secret in it."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _store(scheme: str, bucket: str, folder: str, options: dict[str, str], deadline: float) -> ObjectStore:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise IncompatibleError(
            f"{scheme}:// needs the package obstore, which is not installed; pip install 'saver-ml[cloud]'"
        ) from None
    config, client = _settings(scheme, options)
    client["timeout"] = timedelta(seconds=LONGEST * deadline)
    pauses = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}
    retry = {"max_retries": 1000, "retry_timeout": timedelta(seconds=deadline), "backoff": pauses}
    try:
        return from_url(  # type: ignore[call-overload,no-any-return]
            f"{scheme}://{bucket}/{folder}", config=config, client_options=client, retry_config=retry
        )
    except (BaseError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"store: {scheme}://{bucket}/{folder} cannot be opened: {reason[:300]}") from None


def _settings(scheme: str, options: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What obstore calls the options: those of the service and those of the connection."""
    config: dict[str, Any] = {}
    endpoint = options.get("endpoint", "")
    if endpoint:
        config["base_url" if scheme == "gs" else "endpoint"] = endpoint
    if endpoint and scheme == "s3":
        config["virtual_hosted_style_request"] = False
    if "region" in options:
        config["region"] = options["region"]
    if options.get("anonymous", "").lower() in ("1", "true", "yes"):
        config["skip_signature"] = True
    return config, {"allow_http": True} if endpoint.startswith("http://") else {}
