"""A hostile registry: whatever it answers, nothing wrong reaches the store, and what is wrong is said."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from registries import Fake, digest, fake
from saver.storages.memory import MemoryStorage

pytest.importorskip("oras", reason="needs oras")

from saver.hubs import _artifact, _registry

TITLE = "org.opencontainers.image.title"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_registry, "PAUSES", ())


@pytest.fixture
def registry() -> Iterator[Fake]:
    """A registry with a version of a model that has a pack, a manifest and records."""
    with fake() as server:
        here = saver.Saver(MemoryStorage())
        here.save("m", {"w": np.arange(300_000.0)}, tags=["best"])
        here.push("m", f"oci://{server.host}/m:v1")
        server.calls.clear()
        yield server


def pulled(registry: Fake) -> saver.Saver:
    there = saver.Saver(MemoryStorage("there"))
    there.pull("m", f"oci://{registry.host}/m:v1")
    return there


def refused(registry: Fake, error: type[saver.SaverError], match: str, folder: Path) -> None:
    """A pull ends with this error, has put nothing anywhere, and asked for little."""
    storage = MemoryStorage("there")
    before = {each for each in folder.rglob("*") if "cache" not in each.parts}
    with pytest.raises(error, match=match) as it:
        saver.Saver(storage).pull("m", f"oci://{registry.host}/m:v1")
    assert type(it.value) is error
    assert str(it.value).startswith(f"oci://{registry.host}/m:v1")
    assert [*storage.list("")] == []
    assert {each for each in folder.rglob("*") if "cache" not in each.parts} == before
    assert len(registry.calls) < 50


def layers(registry: Fake) -> dict[str, dict[str, Any]]:
    return {each["annotations"][TITLE]: each for each in registry.manifest("v1")["layers"]}


def forged(registry: Fake, change: Callable[[dict[str, Any]], None]) -> None:
    """Replace the manifest by a changed one."""
    found = registry.manifest("v1")
    change(found)
    registry.put("v1", found)


def test_what_was_not_forged_is_pulled(registry: Fake) -> None:
    assert pulled(registry).load("m")["w"].sum() == np.arange(300_000.0).sum()


@pytest.mark.parametrize("how", ["flipped", "shorter", "longer", "empty", "of another layer"])
def test_bytes_that_do_not_have_their_digest_are_refused(
    registry: Fake, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every layer in turn, by a machine that has none of them yet."""
    good = dict(registry.blobs)
    for key, layer in layers(registry).items():
        data = good[layer["digest"]]
        registry.blobs = good | {
            layer["digest"]: {
                "flipped": data[:-1] + bytes([data[-1] ^ 1]), "shorter": data[:-1], "longer": data + b"x",
                "empty": b"", "of another layer": b"{}" * (len(data) // 2),
            }[how]
        }  # fmt: skip
        what = "has more than the" if how == "longer" else "is not what was pushed"
        registry.calls.clear()
        monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache" / key.replace("/", "-")))
        refused(registry, saver.DamagedError, f"{key}.*{what}", tmp_path)
    registry.blobs = good
    assert pulled(registry).check().sound


def test_a_layer_that_is_missing_is_said(registry: Fake, tmp_path: Path) -> None:
    key, layer = next(item for item in layers(registry).items() if item[0].startswith("packs/"))
    del registry.blobs[layer["digest"]]
    refused(registry, saver.DamagedError, f"{key} is missing in the registry", tmp_path)


@pytest.mark.parametrize(
    "title",
    [
        "../../evil", "/etc/passwd", "packs/../../evil", "..", "", "log/../store.json", "a\\b", "C:\\x", "x",
        "packs/x.safetensors", "state/00000000000000000001.json", "clock/" + "0" * 32, "store.json\0", "~/x",
        "log/" + "0" * 19 + "1.json/x", "STORE.JSON", ".ssh/authorized_keys",
    ],
)  # fmt: skip
def test_a_title_that_is_not_the_key_of_an_object_is_refused(
    registry: Fake, title: str, tmp_path: Path
) -> None:
    forged(registry, lambda found: found["layers"].append(
        {**registry.add(b"evil"), "annotations": {TITLE: title}}
    ))  # fmt: skip
    refused(registry, saver.IncompatibleError, "is not an object of a store", tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        {"digest": "sha256:" + "0" * 63}, {"digest": "md5:" + "0" * 32}, {"size": -1},
        {"digest": "sha256:../../x"}, {"digest": "sha512:" + "0" * 128},
        {"size": "7"}, {"size": 1.5}, {"digest": None}, {"annotations": 3},
        {"size": 1 << 70}, {"annotations": {TITLE: 3}}, {"digest": "sha256:" + "A" * 64},
    ],
)  # fmt: skip
def test_a_layer_without_a_valid_digest_or_size_is_refused(
    registry: Fake, value: dict[str, Any], tmp_path: Path
) -> None:
    forged(registry, lambda found: found["layers"][-1].update(value))
    refused(registry, saver.IncompatibleError, "layer|manifest of an image", tmp_path)


def test_a_layer_of_a_petabyte_leaves_nothing(registry: Fake, tmp_path: Path) -> None:
    forged(registry, lambda found: [each.update(size=1 << 50) for each in found["layers"]])
    storage = MemoryStorage("there")
    with pytest.raises((saver.CannotWriteError, saver.DamagedError)):
        saver.Saver(storage).pull("m", f"oci://{registry.host}/m:v1")
    assert [*storage.list("")] == []
    left = [path for path in (tmp_path / "cache" / "hubs").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) < 1000


def test_a_key_that_is_there_twice_is_refused(registry: Fake, tmp_path: Path) -> None:
    forged(registry, lambda found: found["layers"].append(found["layers"][0]))
    refused(registry, saver.IncompatibleError, "is there twice", tmp_path)


@pytest.mark.parametrize(
    ("manifest", "match"),
    [
        ({"mediaType": _artifact.INDEXES[0], "manifests": []}, "is an index of several images"),
        ({"manifests": [{"digest": "sha256:" + "0" * 64}]}, "is an index of several images"),
        ({"mediaType": _artifact.INDEXES[1], "layers": []}, "is an index of several images"),
        ({"layers": []}, "was not pushed by Saver"),
        ({"layers": [], "artifactType": "application/x\x1b[2J"}, "was not pushed by Saver"),
        ({"layers": {}, "artifactType": _artifact.STORE}, "not the manifest of an image"),
        ({}, "not the manifest of an image"),
        ([], "not the manifest of an image"),
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"layers": [], "layers": []}', "not valid JSON"),
        (b"[" * 100_000, "JSON"),
        (b'{"layers": NaN}', "not valid JSON"),
    ],
)
def test_something_else_than_what_saver_pushes_is_refused(
    registry: Fake, manifest: Any, match: str, tmp_path: Path
) -> None:
    registry.put("v1", manifest)
    refused(registry, saver.IncompatibleError, match, tmp_path)


def test_a_store_that_lacks_objects_or_has_those_of_another_is_refused(
    registry: Fake, tmp_path: Path
) -> None:
    """The manifest is one that Saver might write, but the store in it is not whole."""
    for key in layers(registry):
        forged(registry, lambda found, key=key: found.update(  # type: ignore[misc]
            layers=[each for each in found["layers"] if each["annotations"][TITLE] != key]
        ))  # fmt: skip
        storage = MemoryStorage("there")
        with pytest.raises(saver.SaverError):
            saver.Saver(storage).pull("m", f"oci://{registry.host}/m:v1")
        assert [*storage.list("packs/")] == []


def instead(registry: Fake, where: str, act: Callable[[Any], None]) -> None:
    """Answer requests for a path that contains this otherwise."""

    def answer(handler: Any) -> bool:
        if where not in handler.path or handler.command != "GET":
            return False
        with suppress(OSError):
            act(handler)
        return True

    registry.instead = answer


def endless(handler: Any, status: int = 200, **headers: str) -> None:
    """A body that does not end, as long as somebody reads it."""
    handler.send_response(status)
    handler.send_header("Transfer-Encoding", "chunked")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    piece = b" " * (1 << 20)
    for _ in itertools.count():
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))


@pytest.mark.parametrize("status", [200, 302, 404, 418])
@pytest.mark.parametrize("where", ["/manifests/", "/blobs/"])
def test_a_body_without_end_is_not_read_to_its_end(
    registry: Fake, where: str, status: int, tmp_path: Path
) -> None:
    location = {"Location": f"http://{registry.host}/v2/m/blobs/x"} if status == 302 else {}
    instead(registry, where, lambda handler: endless(handler, status, **location))
    streamed = where == "/blobs/" and status == 200
    error, match = (
        (saver.DamagedError, "has more than the") if streamed
        else (saver.CannotReadError, "the answer has more than 4,194,304 bytes")
    )  # fmt: skip
    refused(registry, error, match, tmp_path)


def test_a_huge_manifest_is_refused(registry: Fake, tmp_path: Path) -> None:
    registry.put("v1", {"layers": [], "x": "x" * (5 << 20)})
    refused(registry, saver.CannotReadError, "the answer has more than 4,194,304 bytes", tmp_path)


def test_what_is_small_only_because_it_is_compressed_is_not_unpacked_without_end(
    registry: Fake, tmp_path: Path
) -> None:
    bomb = gzip.compress(b"[" + b" " * (200 << 20), 1)
    instead(registry, "/manifests/", lambda handler: handler.answer(200, bomb, Content_Encoding="gzip"))
    refused(registry, saver.CannotReadError, "the answer has more than 4,194,304 bytes", tmp_path)


@pytest.mark.parametrize("where", ["/manifests/", "/blobs/"])
@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "gopher://x"])
def test_a_redirection_to_something_else_than_a_web_server_is_refused(
    registry: Fake, where: str, to: str, tmp_path: Path
) -> None:
    instead(registry, where, lambda handler: handler.answer(302, Location=to))
    refused(registry, saver.CannotReadError, "InvalidSchema", tmp_path)


def test_a_redirection_in_a_circle_ends(registry: Fake, tmp_path: Path) -> None:
    instead(registry, "/manifests/", lambda handler: handler.answer(302, Location=handler.path))
    refused(registry, saver.CannotReadError, "TooManyRedirects", tmp_path)


def test_a_redirection_to_another_web_server_is_followed_and_its_bytes_are_verified(registry: Fake) -> None:
    """As registries that keep their layers in buckets do."""
    with fake() as other:
        other.blobs = dict(registry.blobs)
        instead(registry, "/blobs/", lambda handler: handler.answer(
            307, Location=f"http://{other.host}{handler.path}"
        ))  # fmt: skip
        assert pulled(registry).check().sound
        assert len(other.calls) >= 3
        other.blobs = dict.fromkeys(other.blobs, b"evil")
        with pytest.raises(saver.DamagedError, match="is not what was pushed"):
            pulled(registry)


def test_an_encrypted_registry_does_not_lead_to_one_that_is_not() -> None:
    remote: Any = _registry.Remote("oci://registry.example/m", "registry.example", "m", False)
    remote._client.prefix = "http"
    with pytest.raises(saver.CannotReadError, match="leads to http://, which anybody on the way can read"):
        remote.manifest("v1")


def test_a_manifest_with_another_digest_than_was_requested_or_said_is_refused(
    registry: Fake, tmp_path: Path
) -> None:
    body = registry.manifests[registry.tags["v1"]]
    instead(registry, "/manifests/", lambda handler: handler.answer(
        200, body + b" ", Docker_Content_Digest=digest(body)
    ))  # fmt: skip
    refused(registry, saver.DamagedError, "the manifest is not the one with the digest", tmp_path)
    instead(registry, "/manifests/", lambda handler: handler.answer(200, body + b" "))
    place = f"oci://{registry.host}/m@{digest(body)}"
    with pytest.raises(saver.DamagedError, match="the manifest is not the one with the digest"):
        saver.Saver(MemoryStorage()).pull("m", place)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_an_answer_that_is_an_error_is_said(registry: Fake, status: int, tmp_path: Path) -> None:
    instead(registry, "/blobs/", lambda handler: handler.answer(status))
    error = saver.DamagedError if status == 404 else saver.CannotReadError
    refused(registry, error, "missing|the registry answered|authentication", tmp_path)


def test_a_registry_that_asks_for_a_login_elsewhere_gets_no_file(registry: Fake, tmp_path: Path) -> None:
    instead(registry, "/manifests/", lambda handler: handler.answer(
        401, WWW_Authenticate='Bearer realm="file:///etc/passwd",service="x",scope="y"'
    ))  # fmt: skip
    refused(registry, saver.CannotReadError, "InvalidSchema", tmp_path)


def test_a_push_to_a_registry_that_sends_no_place_or_a_wrong_one_is_an_error(registry: Fake) -> None:
    here = saver.Saver(MemoryStorage())
    here.save("m", {"x": np.arange(9000.0)})
    for headers in (
        {},
        {"Location": "file:///etc/passwd"},
        {"Location": "http://127.0.0.1:1/x?state=secret"},
    ):

        def answer(handler: Any, headers: dict[str, str] = headers) -> bool:
            if handler.command == "POST":
                handler.answer(202, **headers)
            return bool(handler.command == "POST")

        registry.instead = answer
        with pytest.raises(saver.CannotWriteError) as it:
            here.push("m", f"oci://{registry.host}/m:mine")
        assert "secret" not in str(it.value)
    assert [*registry.tags] == ["v1"]


def test_tags_that_do_not_end_do_not_stop_a_push(registry: Fake) -> None:
    here = saver.Saver(MemoryStorage())
    here.save("m", {"x": 1})
    instead(registry, "/tags/", endless)
    here.push("m", f"oci://{registry.host}/m:mine")
    instead(
        registry,
        "/tags/",
        lambda handler: handler.answer(200, json.dumps({"tags": [3, "../x", None]}).encode()),
    )
    here.push("m", f"oci://{registry.host}/m:more")
    assert [*registry.tags] == ["v1", "mine", "more"]
