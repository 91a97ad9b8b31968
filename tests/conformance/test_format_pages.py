"""What the pages of the format show is so: the program, the example, the rules, the schemas."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
import worked
from corpus import rules
from neutral import File

import saver
from saver.repo import events
from saver.repo.format import Format
from saver.repo.refs import BadNameError, parse_ref
from saver.repo.state.checkpoint import Checkpoint, UsersCheckpoint
from saver.repo.state.page import Page

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "format"
VALID = sorted((Path(__file__).parent / "valid").glob("1-*.saver"))

perl = pytest.mark.skipif(shutil.which("perl") is None, reason="this machine has no Perl")


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    (source,) = re.findall(r"```perl\n(.*?)```", (PAGES / "weights.md").read_text(), re.DOTALL)
    (tmp_path / "weights.pl").write_text(source)
    return ["perl", str(tmp_path / "weights.pl")]


def printed(program: list[str], *arguments: str) -> list[str]:
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.splitlines()


@perl
@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_program_of_the_page_lists_the_tensors_of_every_valid_file(
    path: Path, program: list[str]
) -> None:
    tensors = File(path.read_bytes()).tensors
    shown = {f"{name} [{' '.join(map(str, shape))}]" for name, (_, shape, _) in tensors.items()}
    assert set(printed(program, str(path))) == shown


@perl
def test_the_program_of_the_page_reads_what_saver_saved(program: list[str], tmp_path: Path) -> None:
    for dtype in ("f8", "f4", "f2", "i8", "u8", "i4", "u2", "i1", "?"):
        array = (
            np.arange(800) % 2 if dtype == "?" else np.arange(800) * 1.5 - (0 if "u" in dtype else 60)
        ).astype(dtype)
        saver.dump({"weights": array.reshape(20, 40)}, tmp_path / "a.saver")
        found = list(map(float, printed(program, str(tmp_path / "a.saver"), "weights")))
        assert found == array.astype(float).tolist()


@perl
def test_the_program_of_the_page_puts_shards_together(program: list[str]) -> None:
    for path in (path for path in VALID if "shards" in path.stem):
        dtype, shape, data = File(path.read_bytes()).tensors["model"]
        expected = np.frombuffer(data, {"F64": "<f8", "I32": "<i4"}[dtype])
        assert list(map(float, printed(program, str(path), "model"))) == expected.tolist()
        assert len(expected) == math.prod(shape)


@perl
def test_the_program_of_the_page_refuses_other_files(program: list[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x80\x04 a pickle, perhaps")
    done = subprocess.run([*program, str(tmp_path / "a")], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "not a file of Saver" in done.stderr
    alone = subprocess.run(program, capture_output=True, text=True, check=False)
    assert alone.returncode
    assert alone.stderr == "usage: perl weights.pl FILE [NAME]\n"


def test_the_page_of_rules_has_the_table() -> None:
    rows = re.findall(r"^\| (\d\.\d\d) \| (.*) \|$", (PAGES / "rules.md").read_text(), re.MULTILINE)
    assert dict(rows) == rules()


def test_the_page_of_stores_says_which_fields_of_records_are_required() -> None:
    page = (PAGES / "store.md").read_text()
    kinds = {each.__struct_config__.tag: each for each in get_args(events.Event)}
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \| (.*) ?\|$",
        page[page.index("| kind | required") :].partition("\n\n")[0],
        re.MULTILINE,
    )
    found = {kind: (required, other) for kind, required, other in rows if kind in kinds}
    assert found.keys() == kinds.keys()
    for kind, struct in kinds.items():
        for each in msgspec.structs.fields(struct):
            at = found[kind][0 if each.required else 1]
            assert f"`{each.encode_name}`" in at, (kind, each.name)


@pytest.mark.parametrize(
    ("what", "structs"),
    [("`store.json`", [Format]), ("a checkpoint", [Checkpoint, UsersCheckpoint]), ("a page", [Page])],
)
def test_the_page_of_stores_says_which_fields_of_other_documents_are_required(
    what: str, structs: list[type]
) -> None:
    page = (PAGES / "store.md").read_text()
    table = page[page.index(f"| field of {what} | required |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", table, re.MULTILINE)
    found = {name: said for names, said in rows for name in re.findall(r"`(\w+)`", names)}
    fields = [each for struct in structs for each in msgspec.structs.fields(struct)]
    assert found.keys() == {each.encode_name for each in fields}
    needed = [
        {each.encode_name for each in msgspec.structs.fields(struct) if each.required} for struct in structs
    ]
    always = set.intersection(*needed)
    assert {name for name, said in found.items() if said == "yes"} == always


def test_the_grammar_of_refs_admits_what_saver_reads() -> None:
    refs = [
        "m",
        "a/b",
        "m@1",
        "m@latest",
        "m@v1.0",
        "m@step=0",
        "m@step=12",
        "m@time=2026-11-20",
        "m@max:auc",
    ]
    name, start = "[A-Za-z0-9_][A-Za-z0-9_.+-]*", "[A-Za-z_][A-Za-z0-9_.+-]{0,99}"
    ends = [
        "latest",
        "[1-9][0-9]{0,11}",
        start,
        "step=(0|[1-9][0-9]{0,14})",
        "time=.+",
        "(best|worst|max|min):.+",
    ]
    grammar = re.compile(f"{name}(/{name})*(@({'|'.join(ends)}))?")
    for ref in refs:
        parse_ref(ref)
        assert grammar.fullmatch(ref)
    for ref in [
        "",
        "@1",
        "m@",
        "m@0",
        "m@01",
        "m@-1",
        "a//b",
        "/a",
        "m@1000000000000",
        "m@step=01",
        "m@1x",
        "m@max:",
    ]:
        assert not grammar.fullmatch(ref)
        with pytest.raises(BadNameError):
            parse_ref(ref)


def test_the_example_is_what_its_bytes_are() -> None:
    assert (PAGES / "example.md").read_text() == worked.page()


def test_the_schemas_admit_every_valid_file() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads((PAGES / "schema.json").read_text())
    checks = {
        name: jsonschema.Draft202012Validator({**document, "$ref": f"#/$defs/{name}"})
        for name in document["$defs"]
    }
    valid = [*Path(__file__).parent.glob("valid/[1234]-*.saver")]
    valid = [path for path in valid if "nested" not in path.stem]  # jsonschema calls itself, level by level
    assert len(valid) > 200
    for path in valid:
        raw = path.read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        checks["header"].validate(header)
        checks["own"].validate(json.loads(header["__metadata__"]["saver"]))
        checks["manifest"].validate(json.loads(header["__metadata__"]["saver.manifest"]))
    for folder in Path(__file__).parent.glob("valid/5-*/"):
        checks["store"].validate(json.loads((folder / "store.json").read_text()))
        for path in folder.glob("log/*.json"):
            checks["record"].validate(json.loads(path.read_text()))
        for path in folder.glob("manifests/*/*.json"):
            checks["manifest"].validate(json.loads(path.read_text()))
        for path in folder.glob("state/**/*.json"):
            kind = "checkpointPage" if "pages" in path.parts else "checkpoint"
            checks[kind].validate(json.loads(path.read_text()))


def test_the_schemas_refuse_what_has_the_wrong_kind() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads((PAGES / "schema.json").read_text())
    for case in json.loads((Path(__file__).parent / "cases.json").read_text()):
        if case.get("rule") in ("1.11", "1.13", "1.15", "1.16", "1.17"):
            raw = (Path(__file__).parent / case["file"]).read_bytes()
            header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
            name, value = "header", header
            if case["rule"] < "1.16":
                name, value = "own", json.loads(header["__metadata__"].get("saver", "null"))
            check = jsonschema.Draft202012Validator({**document, "$ref": f"#/$defs/{name}"})
            assert not check.is_valid(value), case["file"]
