"""Fingerprints of files and folders: contents and relative names, links followed, errors by path."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from saver.errors import CannotSaveError
from saver.fingerprint import describe, fingerprint, fingerprints, paths, same


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with files in it, below it and hidden."""
    for name, content in {
        "a.txt": b"one",
        ".hidden": b"two",
        "sub/b.txt": b"",
        "sub/deep/c": b"three",
    }.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "images"


@pytest.mark.parametrize("size", [0, 1, 4096, paths.PARALLEL - 1, paths.PARALLEL, 2 * paths.READ + 12345])
def test_the_hash_of_a_file_is_blake3_of_its_content(tmp_path, size):
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "train.csv").write_bytes(content)
    assert fingerprint(tmp_path / "train.csv") == {
        "kind": "file", "name": "train.csv", "bytes": size, "hash": blake3(content).hexdigest(),
    }  # fmt: skip


def test_no_path_of_this_machine_is_recorded(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert fingerprint("images/a.txt")["name"] == "images/a.txt"
    assert fingerprint("./images/sub/../a.txt")["name"] == "images/a.txt"
    assert fingerprint(folder / "a.txt")["name"] == "a.txt"
    assert fingerprint(folder)["name"] == "images"
    monkeypatch.chdir(folder / "sub")
    assert fingerprint("../a.txt")["name"] == "a.txt"
    assert fingerprint("..")["name"] == "images"
    assert fingerprint(".")["name"] == "."


def test_where_a_file_lies_makes_no_difference(folder):
    copy = shutil.copy(folder / "a.txt", folder.parent / "other.txt")
    assert same(fingerprint(folder / "a.txt"), fingerprint(copy))


def test_a_folder_tells_how_many_files_and_bytes(folder):
    found = fingerprint(folder)
    assert {key: found[key] for key in ("kind", "name", "files", "bytes")} == {
        "kind": "folder", "name": "images", "files": 4, "bytes": 11,
    }  # fmt: skip
    assert describe(found) == f"folder images, 4 files, 11 B, {found['hash'][:6]}…"


def test_recorded_fingerprints_are_found_again_by_later_savers(folder):
    """This was recorded; if it changes, what people have recorded is worth nothing."""
    assert fingerprint(folder)["hash"][:16] == RECORDED


RECORDED = "f23f9cf954d02de8"


def test_a_copy_of_a_folder_is_the_same_in_whatever_order_it_was_written(folder, tmp_path):
    other = tmp_path / "elsewhere"
    for name in ("sub/deep/c", "sub/b.txt", ".hidden", "a.txt"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, other / name)
    (other / "empty").mkdir()
    assert same(fingerprint(folder), fingerprint(other))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.txt").write_bytes(b"onE"),
        lambda folder: (folder / ".hidden").unlink(),
        lambda folder: (folder / "more").touch(),
        lambda folder: (folder / "a.txt").rename(folder / "b.txt"),
        lambda folder: (folder / "sub" / "b.txt").rename(folder / "b.txt"),
        lambda folder: (folder / "sub").rename(folder / "sup"),
    ],
    ids=["content", "a hidden file less", "a file more", "a name", "a file moved", "a folder renamed"],
)
def test_contents_and_relative_names_count(folder, change):
    before = fingerprint(folder)
    change(folder)
    assert not same(before, fingerprint(folder))


@given(st.dictionaries(st.sampled_from("abc"), st.binary(max_size=3)), st.data())
def test_names_and_contents_cannot_be_taken_for_each_other(tmp_path_factory, files, data):
    others = data.draw(st.dictionaries(st.sampled_from(["a", "b", "c", "ab"]), st.binary(max_size=3)))
    found = []
    for content in (files, others):
        place = tmp_path_factory.mktemp("files")
        for name, held in content.items():
            (place / name).write_bytes(held)
        found.append(fingerprint(place)["hash"])
    assert (found[0] == found[1]) == (files == others)


def test_small_and_large_files_together(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARALLEL", 5000)
    monkeypatch.setattr(paths, "BATCH_FILES", 3)
    monkeypatch.setattr(paths, "BATCH_BYTES", 9000)
    rng = np.random.default_rng(3)
    hasher = blake3()
    for at, size in enumerate(rng.integers(0, 8000, 60).tolist() + [0, 5000, 0, 5000, 5000, 0]):
        content = rng.bytes(size)
        (tmp_path / f"{at:02}").write_bytes(content)
        hasher.update(b"2:%02d:%d:" % (at, size) + blake3(content).digest())
    assert fingerprint(tmp_path)["hash"] == hasher.hexdigest()


def test_links_are_followed(folder, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "a.txt").symlink_to(folder / "a.txt")
    (linked / ".hidden").hardlink_to(folder / ".hidden")
    (linked / "sub").symlink_to(folder / "sub")
    assert same(fingerprint(linked), fingerprint(folder))
    (tmp_path / "link").symlink_to(folder)
    assert same(fingerprint(tmp_path / "link"), fingerprint(folder))


def test_a_link_that_leads_back_is_refused(folder):
    (folder / "sub" / "around").symlink_to(folder)
    with pytest.raises(
        CannotSaveError, match=r"^data.raw: .*images/sub/around leads back to a folder that contains it"
    ):
        fingerprints({"raw": folder})


def test_a_link_to_a_neighbour_is_not_a_loop(folder):
    (folder / "sub" / "again").symlink_to(folder / "sub" / "deep")
    assert fingerprint(folder)["files"] == 5


def test_a_broken_link_is_refused_by_name(folder):
    (folder / "broken").symlink_to(folder / "nowhere")
    with pytest.raises(CannotSaveError, match=r"^data: .*images/broken cannot be read \(No such file or"):
        fingerprint(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    for path in (folder, folder / "pipe"):
        with pytest.raises(CannotSaveError, match=r"images/pipe is neither a file nor a folder"):
            fingerprint(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that fails to be read is Linux's")
def test_what_cannot_be_read_is_refused_by_name(folder):
    (folder / "broken").symlink_to("/proc/self/mem")
    with pytest.raises(
        CannotSaveError, match=r"^data: .*images/broken cannot be read \(Input/output error\), so"
    ):
        fingerprint(folder)


@pytest.mark.parametrize("text", ["no/such/file", "x" * 5000, "nul\0", ""])
def test_a_string_that_is_not_a_path_is_refused(text):
    with pytest.raises(
        CannotSaveError, match=r"(?s)^data.raw: there is no file or folder '.*' here .* are paths"
    ):
        fingerprints({"raw": text})


def test_a_file_that_changes_meanwhile_is_refused(tmp_path):
    path = tmp_path / "growing.csv"
    path.write_bytes(b"x" * 100)
    found = paths.look(path, "data")
    path.write_bytes(b"x" * 200)
    with pytest.raises(CannotSaveError, match=r"^data: .*growing.csv changed while it was read"):
        paths.path_fingerprint(found, "data", lambda count: None)


def test_a_file_that_is_written_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "busy.bin"
    path.write_bytes(bytes(3 * paths.READ))

    def write(done: int, total: int) -> None:
        with path.open("r+b") as file:
            file.write(b"x")
        os.utime(path, (0, 0))

    with pytest.raises(CannotSaveError, match=r"busy.bin changed while it was read"):
        fingerprint(path, "data", write)


def test_names_that_are_no_text_are_names(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"\xff.bin")).write_bytes(b"1")
    except OSError:
        pytest.skip("the file system takes only text for names")
    assert fingerprint(tmp_path)["files"] == 1
    assert fingerprint(tmp_path / os.fsdecode(b"\xff.bin"))["name"] == "\\xff.bin"


def test_progress_counts_the_bytes_of_all_paths_together(folder, tmp_path):
    (tmp_path / "large.bin").write_bytes(bytes(3 * paths.READ))
    told: list[tuple[int, int]] = []
    data = {"folder": folder, "large": tmp_path / "large.bin", "array": [1, 2]}
    fingerprints(data, lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {3 * paths.READ + 11}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (3 * paths.READ + 11, 3 * paths.READ + 11)
    assert len(told) >= 4
