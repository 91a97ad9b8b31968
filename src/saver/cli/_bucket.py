"""The state of a bucket: what `saver doctor --store s3://…` reports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from saver.addresses import open_storage
from saver.doctor import Finding
from saver.errors import SaverError
from saver.storage import Storage

CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN",
           "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_REGION",
           "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY",
           "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
}  # fmt: skip
"""The environment variables in which obstore finds credentials and addresses."""

_UPLOADS = {
    "s3": "a lifecycle rule with AbortIncompleteMultipartUpload, after a few days",
    "gs": "a lifecycle rule that aborts incomplete multipart uploads, after a few days",
}


def examined(store: str, held: Callable[[Storage], Iterator[Finding]]) -> Iterator[Finding]:
    """Findings about a bucket: what was found for it, and each operation, tried; and those of `held` about
    the store in it. A bucket that does not answer is waited for once."""
    scheme = store.partition("://")[0]
    if scheme in CREDENTIALS:
        found = [name for name in CREDENTIALS[scheme] if os.environ.get(name)]
        nothing = "the role of this machine, if it has one"
        yield Finding("ok", "credentials", "", ", ".join(found) or nothing, "names; the values are not shown")
    try:
        storage = open_storage(store)
        seconds = _asked(storage)
        yield from held(storage)
        storage.probe()
    except SaverError as error:
        yield Finding("problem", "bucket", "", store.partition("?")[0], str(error))
        return
    yield Finding("ok", "bucket", "", str(storage), "creates an object once, reads, lists and deletes it")
    yield Finding("ok", "answers", "", f"{1000 * seconds:.0f} ms", "to learn whether an object exists")
    if scheme in _UPLOADS:
        meaning = f"what killed processes sent stays there unseen, and costs money: add {_UPLOADS[scheme]}"
        yield Finding("note", "uploads", "", "cannot be listed", meaning)


def _asked(storage: Storage) -> float:
    """The seconds that a question takes, once the connection is made."""
    storage.stat("store.json")
    began = time.perf_counter()
    storage.stat("store.json")
    return time.perf_counter() - began
