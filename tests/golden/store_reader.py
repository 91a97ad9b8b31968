"""A reader of stores, written from docs/format/, section 4, alone. Knows nothing of Saver."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from format_reader import DTYPES, Reader, header_of, parse, put_together, require

BLOCK = 16 << 20


def document(path: Path) -> dict[str, Any]:
    """A document, its hash checked."""
    raw = path.read_bytes()
    require(raw[:9] == b'{"hash":"', "not a document")
    require(blake3(raw[:9] + b"0" * 64 + raw[73:]).hexdigest() == raw[9:73].decode(), f"hash of {path.name}")
    found: dict[str, Any] = parse(raw)
    return found


class StoreReader:
    """The log, replayed; `versions` are commits by ref, with their present labels and notes, `tags` refs by
    tag ref, `models` labels and notes by model."""

    def __init__(self, folder: Path, known: tuple[str, ...] = ()) -> None:
        self.folder = folder
        form = document(folder / "store.json")
        require(form["format"] == 1 and {*form.get("read", ())} <= {*known}, "format")
        self.versions: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, str] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.last: dict[str, int] = {}
        self.moves: dict[str, list[list[Any]]] = {}
        self.kinds: set[str] = set()
        previous = "0" * 64
        number = 1
        while (path := folder / "log" / f"{number:020}.json").exists():
            record = document(path)
            require(record["format"] == 1 and record["number"] == number, "record")
            require(record["previous"] == previous, "chain")
            previous = record["hash"]
            if self.counts(record):
                self.take(record["event"])
            number += 1
        require(len(list((folder / "log").glob("[0-9]*"))) == number - 1, "gap")

    def counts(self, record: dict[str, Any]) -> bool:
        """Whether a record is not void. Without roles, none is; `signature_reader.py` knows them."""
        return True

    def take(self, event: dict[str, Any]) -> None:
        self.kinds.add(event["kind"])
        match event["kind"]:
            case "commit":
                model = event["model"]
                require(event["number"] == self.last.get(model, 0) + 1, "number")
                self.last[model] = event["number"]
                ref = f"{model}@{event['number']}"
                self.versions[ref] = event
                self.tags |= {f"{model}@{tag}": ref for tag in event.get("tags", ())}
            case "tag":
                tag = f"{event['model']}@{event['tag']}"
                self.tags.pop(tag, None)
                if event["number"] is not None:
                    self.tags[tag] = f"{event['model']}@{event['number']}"
            case "label" | "note":
                ref = f"{event['model']}@{event['number']}"
                about = self.models.setdefault(event["model"], {})
                if event["number"] is not None:
                    about = self.versions[ref] = dict(self.versions[ref])
                if event["kind"] == "note":
                    about["notes"] = event["notes"]
                else:
                    labels = about.get("labels", {}) | event["labels"]
                    about["labels"] = {key: value for key, value in labels.items() if value is not None}
            case "delete":
                gone = {f"{event['model']}@{number}" for number in event["numbers"]}
                self.versions = {ref: v for ref, v in self.versions.items() if ref not in gone}
                self.tags = {tag: ref for tag, ref in self.tags.items() if ref not in gone}
            case "relocate":
                for pack, moves in event["moves"].items():
                    own = {move[0]: move for move in [*self.moves.get(pack, ()), *moves]}
                    self.moves[pack] = [own[offset] for offset in sorted(own)]
            case "condemn" | "harm" | "sign":
                pass
            case kind:
                require(False, f"the kind {kind}")

    def open(self, ref: str) -> VersionReader:
        digest, file = self.versions[ref]["manifest"], self.versions[ref].get("file")
        if file:
            return self.open_file(file, digest, self.versions[ref]["packs"])
        raw = (self.folder / "manifests" / digest[:2] / f"{digest}.json").read_bytes()
        require(blake3(raw).hexdigest() == digest, "hash of the manifest")
        manifest = parse(raw)
        require(not {*manifest.get("requires", ())} - {"grid"}, "requires")
        packs = manifest.get("packs", [])
        if "grid" in manifest.get("requires", ()):
            return VersionReader(self, manifest, *self.of_grid(manifest["grid"], packs), packs)
        return VersionReader(self, manifest, manifest.get("tensors", {}), [], packs)

    def of_grid(self, grid: dict[str, Any], packs: list[str]) -> tuple[dict[str, Any], list[Any]]:
        """The tensors of a grid, with their shards; and those shards by page."""
        found = {name: {**told, "shards": []} for name, told in grid["tensors"].items()}
        pages: list[Any] = []
        for number, name in enumerate(grid["pages"]):
            raw = (self.folder / "trees" / name[:2] / f"{name}.json").read_bytes()
            require(blake3(raw).hexdigest() == name, "hash of the page")
            require(raw[:9] == b'{"salt":"' and raw[41:52] == b'","shards":', "form of the page")
            page = parse(raw)["shards"]
            pages.append({tensor: form["shards"] for tensor, form in page["tensors"].items()})
            for tensor, form in page["tensors"].items():
                told = found[tensor]
                require([told["dtype"], told["shape"]] == [form["dtype"], form["shape"]], "dtype and shape")
                whole = [[0] * len(form["shape"]), form["shape"]]
                for shard in form["shards"]:
                    offsets, sizes = shard.setdefault("box", whole)
                    (run,) = [r for r in grid["cuts"][told["cut"]] if r[0] <= number < r[0] + r[1]]
                    for at, size, start, length, step in zip(offsets, sizes, *run[2:], strict=True):
                        first = start + (number - run[0]) * step
                        require(first <= at and at + size <= first + length, "region of the page")
                    places = shard.get("extents", ())
                    shard["extents"] = [[packs.index(page["packs"][at]), *rest] for at, *rest in places]
                    told["shards"].append(shard)
        for told in found.values():
            told["shards"].sort(key=lambda shard: shard["box"][0])
        return found, pages

    def open_file(self, file: str, digest: str, packs: list[str]) -> VersionReader:
        """A version that is one file. Its bytes may have moved all the same."""
        raw = (self.folder / "packs" / f"{file}.safetensors").read_bytes()
        header, metadata, own, start = header_of(raw)
        require(metadata["saver.header"] == digest, "hash of the header")
        require(packs == [file], "the pack of a file")
        for (name, slot), expected in zip(header.items(), own["hashes"], strict=True):
            begin, end = slot["data_offsets"]
            shard = {"hash": expected, "extents": [[0, start + begin, end - begin]]}
            slot["shards"] = [shard | ({"blocks": own["blocks"][name]} if name in own["blocks"] else {})]
        for name, cut in own.get("cuts", {}).items():
            boxes = [(header[shard], offsets) for shard, offsets in cut["shards"].items()]
            shards = [slot["shards"][0] | {"box": [offsets, slot["shape"]]} for slot, offsets in boxes]
            header[name] = {"dtype": boxes[0][0]["dtype"], "shape": cut["shape"], "shards": shards}
        return VersionReader(self, parse(metadata["saver.manifest"]), header, [], packs)

    def document_of(self, part: dict[str, Any]) -> Any:
        """Tree and batches of a part that has a document."""
        name = part["document"]
        raw = (self.folder / "trees" / name[:2] / f"{name}.json").read_bytes()
        require(blake3(raw).hexdigest() == name, "hash of the document")
        require(blake3(raw[50:-1]).hexdigest() == part["content"], "content of the document")
        return parse(raw)["part"]

    def bytes_at(self, pack: str, offset: int, length: int) -> bytes:
        """Bytes of a pack, wherever they are now."""
        for start, size, target, there in self.moves.get(pack, ()):
            if start < offset + length and offset < start + size:
                first, end = max(start, offset), min(start + size, offset + length)
                return (
                    self.bytes_at(pack, offset, first - offset)
                    + self.bytes_at(target, there + first - start, end - first)
                    + self.bytes_at(pack, end, offset + length - end)
                )
        if not length:
            return b""
        with open(self.folder / "packs" / f"{pack}.safetensors", "rb") as file:
            file.seek(offset)
            return file.read(length)


class VersionReader:
    """A version, as what `Values` reads from."""

    def __init__(
        self,
        store: StoreReader,
        manifest: dict[str, Any],
        tensors: dict[str, Any],
        pages: list[Any],
        packs: list[str],
    ) -> None:
        for part in manifest["parts"].values():
            if "document" in part:
                part["tree"], part["batches"] = store.document_of(part)
        self.metadata = {"saver.manifest": json.dumps(manifest)}
        self.slots, self.pages = tensors, pages
        self.hashes: dict[str, Any] = {}
        self.tensors = {}
        for name, slot in self.slots.items():
            dtype = np.dtype(DTYPES[slot["dtype"]])
            shards, hashes = [], []
            for shard in slot["shards"]:
                offsets, sizes = shard.get("box", ([0] * len(slot["shape"]), slot["shape"]))
                data = b"".join(
                    store.bytes_at(packs[pack], offset, length)
                    for pack, offset, length in shard.get("extents", ())
                )
                require(len(data) == math.prod(sizes) * dtype.itemsize, "length")
                require(Reader.hash_of(data, shard.get("blocks")) == shard["hash"], f"hash of {name}")
                shards.append((offsets, np.frombuffer(data, dtype).reshape(sizes)))
                hashes.append([offsets, sizes, shard["hash"]])
            self.tensors[name] = put_together(slot["shape"], shards)
            self.hashes[name] = hashes if len(hashes) > 1 else hashes[0][2]
