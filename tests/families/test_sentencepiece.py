"""SentencePiece: models come back to the byte; what would crash the library is refused before it gets it."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

sentencepiece = pytest.importorskip("sentencepiece")

import sentencepiece_models as small  # noqa: E402

import saver  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError, SaverError  # noqa: E402
from saver.families.sentencepiece import charsmap, model, wire  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, load  # noqa: E402

MODELS = {kind: lambda kind=kind: model.read(small.trained(kind)) for kind in small.KINDS}


class TestProcessors(CodecTests):
    family = "sentencepiece"
    samples: ClassVar[dict[str, Any]] = {
        kind: lambda kind=kind: small.processor(kind) for kind in small.KINDS
    }

    def same(self, saved: Any, loaded: Any) -> bool:
        return super().same(saved, loaded) and small.answers(saved) == small.answers(loaded)


@pytest.mark.parametrize("kind", small.KINDS)
def test_a_model_comes_back_to_the_byte(kind: str) -> None:
    found = saver.loads(saver.dumps(small.processor(kind)))
    assert found.serialized_model_proto() == small.trained(kind)
    read = model.read(small.trained(kind))
    assert model.written(read) == small.trained(kind)
    plain = [
        wire.written({"piece": piece, "score": score, **({"type": type_} if type_ != 1 else {})}, wire.PIECE)
        for piece, score, type_ in zip(read.pieces, read.scores.tolist(), read.types.tolist(), strict=True)
    ]
    assert wire.read(model.written(read), wire.MODEL)["pieces"] == plain


@pytest.mark.shows("SentencePiece", "save", "load")
def test_a_fresh_process_answers_the_same(tmp_path: Path) -> None:
    for kind in small.KINDS:
        saver.dump([small.processor(kind), small.answers(small.processor(kind))], tmp_path / f"{kind}.saver")
    program = (
        f"import sys, saver\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import sentencepiece_models as small\n"
        "for kind in small.KINDS:\n"
        f"    made, expected = saver.load({str(tmp_path)!r} + f'/{{kind}}.saver')\n"
        "    assert small.answers(made) == expected, kind\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.shows("SentencePiece", "restore")
def test_a_processor_is_restored_in_place(tmp_path: Path) -> None:
    made, other = small.processor("bpe", add_bos=True), small.processor("symbols")
    store = saver.Saver(tmp_path)
    store.save("words", {"model": made})
    store.restore("words", into={"model": other})
    assert small.answers(other) == small.answers(made)
    with pytest.raises(SaverError, match="take it from `load`"):
        store.restore("words", into={"model": [1]})


OPTIONS = (
    {"out_type": str}, {"out_type": bytes, "add_bos": True}, {"out_type": "numpy", "reverse": True},
    {"add_eos": True, "emit_unk_piece": True, "num_threads": 2},
    {"enable_sampling": True, "nbest_size": 4, "alpha": 0.5}, {"alpha": 1},
)  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_options_come_back(options: dict[str, Any]) -> None:
    made = small.processor("unigram", **options)
    found = saver.loads(saver.dumps(made))
    assert {**vars(made), "_processor": 0} == {**vars(found), "_processor": 0}


WRONG = {
    "_return_type": (float, "nothing", None, []), "_add_bos": (1, None), "_reverse": ("",),
    "_num_threads": (-2, 1 << 20, True, 1.0), "_nbest_size": (-2, 1 << 40, None),
    "_alpha": (float("nan"), float("inf"), "1", None),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, all_ in WRONG.items() for value in all_])
def test_an_option_that_the_library_would_not_take_is_not_saved(name: str, value: Any) -> None:
    made = small.processor("unigram")
    setattr(made, name, value)
    with pytest.raises(CannotSaveError):
        saver.dumps(made)


def test_what_is_not_a_model_is_not_saved() -> None:
    with pytest.raises(CannotSaveError, match="no model was loaded"):
        saver.dumps(sentencepiece.SentencePieceProcessor())
    made = small.processor("unigram")
    made.mine = 1
    with pytest.raises(CannotSaveError, match="mine"):
        saver.dumps(made)
    with pytest.raises(CannotSaveError, match="the SentencePieceProcessor that it belongs to"):
        saver.dumps(sentencepiece.SentencePieceNormalizer(rule_name="nfkc"))


def test_the_rules_of_a_normalization_are_stored_once(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("words", {"model": small.processor("unigram")})
    assert store.save("words", {"model": small.processor("symbols")}).bytes_added < 100_000


MESSAGE = b"".join(
    (wire.written({"input": ["a", "b"], "model_type": 2, "pad_id": -1, "unk_piece": "é" * 70}, wire.TRAINER),
     wire.written({"input_sentence_size": 1 << 40, "shrinking_factor": 0.5}, wire.TRAINER),
     wire.written({"byte_fallback": True, "split_by_number": False}, wire.TRAINER))
)  # fmt: skip


class TestWire:
    """The protobuf, read strictly."""

    def test_every_byte_changed_is_refused_or_read_as_what_is_written(self) -> None:
        for at in range(len(MESSAGE)):
            for byte in range(256):
                changed = MESSAGE[:at] + bytes((byte,)) + MESSAGE[at + 1 :]
                try:
                    found = wire.read(changed, wire.TRAINER)
                    again = wire.written(found, wire.TRAINER)
                except ValueError:
                    continue
                assert wire.read(again, wire.TRAINER) == found

    def test_every_cut_is_refused_unless_it_is_between_fields(self) -> None:
        whole = wire.read(MESSAGE, wire.TRAINER)
        for end in range(len(MESSAGE)):
            try:
                found = wire.read(MESSAGE[:end], wire.TRAINER)
            except ValueError:
                continue
            assert all(found[name] == whole[name] for name in found.keys() - {"input"})
            assert wire.written(found, wire.TRAINER) == b"".join(
                wire.written({name: found[name]}, wire.TRAINER) for name in wire.TRAINER if name in found
            )

    @pytest.mark.parametrize(
        "data",
        [b"\x08", b"\x80" * 11, b"\x18" + b"\xff" * 9 + b"\x7f", b"\x0a\x05a",
         b"\x0a" + b"\xff" * 8 + b"\x7f",
         b"\x18\x01\x18\x01", b"\x98\x01\x02", b"\x0b\x0c", b"\x55\0\0", b"\x0a\x01\xff", b"\xc2\x0c\x01a"],
    )  # fmt: skip
    def test_what_is_not_a_message_is_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            wire.read(data, wire.TRAINER)

    @pytest.mark.parametrize(
        "message",
        [{"unk_id": True}, {"unk_id": 1 << 31}, {"input": "a"}, {"input": [b"a"]}, {"byte_fallback": 1},
         {"shrinking_factor": 1}, {"shrinking_factor": 0.1}, {"shrinking_factor": float("nan")},
         {"shrinking_factor": 1e300}, {"input_sentence_size": -1}, {"input_sentence_size": 1 << 53},
         {"unk_piece": "\ud800"}, {"other": 1}, [], None],
    )  # fmt: skip
    def test_what_is_not_in_the_schema_is_not_written(self, message: Any) -> None:
        with pytest.raises(ValueError, match=r"."):
            wire.written(message, wire.TRAINER)

    def test_the_schemas_are_those_of_the_library(self) -> None:
        pb2 = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
        ours = {
            "TrainerSpec": wire.TRAINER, "NormalizerSpec": wire.NORMALIZER,
            "ModelProto.SentencePiece": wire.PIECE,
            "ModelProto": {name: field for name, field in wire.MODEL.items() if name != "self_test_data"},
        }  # fmt: skip
        kinds = {5: "int", 14: "int", 4: "size", 8: "bool", 2: "float", 9: "text", 12: "bytes", 11: "message"}
        for name, schema in ours.items():
            outer, _, inner = name.partition(".")
            found = pb2.DESCRIPTOR.message_types_by_name[outer]
            found = found.nested_types_by_name[inner] if inner else found
            theirs = {field.name: (field.number, kinds[field.type]) for field in found.fields}
            assert theirs == {
                key: (field.number, {"texts": "text", "messages": "message"}.get(field.kind, field.kind))
                for key, field in schema.items()
            }


def with_pieces(found: model.Model, pieces: list[str], kind: int, score: float = 0.0) -> model.Model:
    return found._replace(
        pieces=[*found.pieces, *pieces],
        scores=np.append(found.scores, np.full(len(pieces), score, np.float32)).astype(np.float32),
        types=np.append(found.types, np.full(len(pieces), kind, np.uint8)).astype(np.uint8),
    )


def with_type(found: model.Model, at: int, kind: int) -> model.Model:
    types = found.types.copy()
    types[at] = kind
    return found._replace(types=types)


def trained_as(found: model.Model, **settings: Any) -> model.Model:
    return found._replace(trainer={**(found.trainer or {}), **settings})


def normalizing(found: model.Model, rules: bytes) -> model.Model:
    return found._replace(normalizer={**(found.normalizer or {}), "precompiled_charsmap": rules})


FORGED: dict[str, Callable[[model.Model], model.Model]] = {
    "no pieces": lambda found: found._replace(pieces=[], scores=found.scores[:0], types=found.types[:0]),
    "a score less": lambda found: found._replace(scores=found.scores[1:]),
    "a type less": lambda found: found._replace(types=found.types[1:]),
    "scores in a table": lambda found: found._replace(scores=found.scores[:, None]),
    "a score that is not a number": lambda found: with_pieces(found, ["@"], 1, float("nan")),
    "an endless score": lambda found: with_pieces(found, ["@"], 1, float("-inf")),
    "a huge score": lambda found: with_pieces(found, ["@"], 1, 3e38),
    "a piece twice": lambda found: with_pieces(found, found.pieces[-1:], 1),
    "an empty piece": lambda found: with_pieces(found, [""], 1),
    "a zero in a piece": lambda found: with_pieces(found, ["a\0b"], 1),
    "a long piece": lambda found: with_pieces(found, ["@" * 1025], 1),
    "a long symbol": lambda found: with_pieces(found, ["é" * 513], 4),
    "half of a character": lambda found: with_pieces(found, ["\ud800"], 1),
    "two unknown pieces": lambda found: with_pieces(found, ["@"], 2),
    "no unknown piece": lambda found: with_type(found, int(np.flatnonzero(found.types == 2)[0]), 3),
    "no type": lambda found: with_type(found, 5, 0),
    "another type": lambda found: with_type(found, 5, 7),
    "a byte without fallback": lambda found: with_pieces(found, ["<0x00>"], 6),
    "a byte above 255": lambda found: with_pieces(found, ["<0x100>"], 6),
    "fallback without bytes": lambda found: trained_as(found, byte_fallback=True),
    "nested symbols": lambda found: with_pieces(found, ["@" * many for many in range(1, 66)], 4),
    "no kind of model": lambda found: trained_as(found, model_type=0),
    "another kind of model": lambda found: trained_as(found, model_type=5),
    "an id beyond the pieces": lambda found: trained_as(found, unk_id=len(found.pieces)),
    "a negative id": lambda found: trained_as(found, pad_id=-2),
    "an id that is not a number": lambda found: trained_as(found, bos_id="1"),
    "a long text for the unknown": lambda found: trained_as(found, unk_surface="@" * 1025),
    "an unknown setting": lambda found: trained_as(found, other=1),
    "long samples": lambda found: found._replace(samples=[{"input": "@" * (1 << 16), "expected": "a"}]),
    "an empty double array": lambda found: normalizing(found, b"\0\0\0\0a\0"),
    "rules that are cut": lambda found: normalizing(found, b"\0\x04"),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_forged_model_is_refused_before_the_library_gets_it(forged: str, kind: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        model.written(FORGED[forged](MODELS[kind]()))


def test_limits_are_as_wide_as_they_say() -> None:
    honest = MODELS["unigram"]()
    small.used(model.written(with_pieces(honest, ["@" * many for many in range(1, 65)], 4)))
    small.used(model.written(with_pieces(honest, ["@" * 1024, "é" * 512], 1, 1e30)))
    small.used(model.written(honest._replace(samples=[{"input": "the fox", "expected": "a"}, {}])))
    assert model.read(model.written(honest._replace(samples=[{}]))).samples == [{}]


def test_a_file_that_was_changed_is_refused() -> None:
    saved = StoredObject(small.processor("unigram"))
    for name in ("pieces", "scores", "types"):
        changed = saved.copy()
        changed.tensors = {
            key: data if not key.endswith(name) else type(data)(data.dtype, data.shape, data.data | 255)
            for key, data in saved.tensors.items()
        }
        with pytest.raises(IncompatibleError):
            load(changed, ())


UNITS = 256


def rules(units: dict[int, int], texts: bytes = b"x\0") -> bytes:
    """Rules with these units, by their places; others lead nowhere, and the root to 4."""
    found = np.full(UNITS, 1 << 31, "<u4")
    found[0] = unit(0, 4)
    found[list(units)] = list(units.values())
    return struct.pack("<I", 4 * UNITS) + found.tobytes() + texts


def unit(byte: int, offset: int, ends: bool = False) -> int:
    return byte | ends << 8 | offset << 10


class TestRules:
    """The double array of a normalization."""

    def test_a_rule_by_hand_is_followed(self) -> None:
        """Byte 97: from the root, which leads to 4, to 4 ^ 97; its children lie at 8, where the text is."""
        here = 4 ^ 97
        data = rules({0: unit(0, 4), here: unit(97, here ^ 8, True), 8: 1 << 31 | 0})
        charsmap.check(data)
        honest = MODELS["bpe"]()
        made = sentencepiece.SentencePieceProcessor(model_proto=model.written(normalizing(honest, data)))
        assert made.normalize("banana").replace("\u2581", "") == "bxnxnx"

    def test_a_circle_with_a_rule_is_refused_and_one_without_is_followed(self) -> None:
        here = 4 ^ 97
        charsmap.check(rules({0: unit(0, 4), here: unit(97, here ^ 4)}))
        with pytest.raises(ValueError, match="match one text"):
            charsmap.check(rules({0: unit(0, 4), here: unit(97, here ^ 4, True), 4: 1 << 31}))

    def test_every_unit_that_leads_out_is_refused(self) -> None:
        for place in (0, 5, UNITS - 1):
            for offset in (256, 1 << 20, (1 << 21) - 1):
                with pytest.raises(ValueError, match="out of their double array"):
                    charsmap.check(rules({place: unit(1, offset)}))
        with pytest.raises(ValueError, match="out of their double array"):
            charsmap.check(rules({0: 1 << 31 | unit(0, 256)}))
        with pytest.raises(ValueError, match="out of their double array"):
            charsmap.check(rules({3: unit(1, 1) | 512}))
        charsmap.check(rules({3: unit(1, 1)}))
        charsmap.check(rules({UNITS - 1: unit(1, UNITS - 1)}))

    @pytest.mark.parametrize(
        ("value", "texts"),
        [(2, b"x\0"), ((1 << 31) - 1, b"x\0"), (0, b"x"), (1, "é\0".encode()), (0, b"y" * 1025 + b"\0"),
         (0, b"\xff\0"), (0, b"")],
    )  # fmt: skip
    def test_a_text_that_is_not_there_is_refused(self, value: int, texts: bytes) -> None:
        here = 4 ^ 97
        with pytest.raises(ValueError, match=r"."):
            charsmap.check(rules({0: unit(0, 4), here: unit(97, here ^ 8, True), 8: 1 << 31 | value}, texts))

    def test_a_chain_of_many_rules_is_refused(self) -> None:
        for many, fits in ((32, True), (33, False)):
            data = self.chain(many)
            if fits:
                charsmap.check(data)
            else:
                with pytest.raises(ValueError, match="match one text"):
                    charsmap.check(data)

    def chain(self, many: int) -> bytes:
        """Rules for a, aa, aaa …: a unit for each, in a block of its own."""
        found = np.full(256 * (many + 2), 1 << 31, np.int64)
        for block in range(1, many + 1):
            here, base = 256 * block ^ 97, 256 * (block + 1)
            found[here] = unit(97, here ^ base, True)
        found[0] = unit(0, 256)
        return struct.pack("<I", 4 * len(found)) + found.astype("<u4").tobytes() + b"x\0"

    @pytest.mark.parametrize("name", ["nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf"])
    def test_the_rules_of_the_library_are_followed(self, name: str) -> None:
        folder = Path(sentencepiece.__file__).parent / "package_data"
        if not (folder / f"{name}.bin").is_file():
            pytest.skip("this version of sentencepiece keeps its rules elsewhere")
        charsmap.check((folder / f"{name}.bin").read_bytes())


def changes(data: bytes, draw: random.Random) -> bytes:
    """Bytes with a few changed, at random: half of them where the pieces and the settings are."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        places = (len(found), 3000, 8)
        at = draw.randrange(min(len(found), draw.choice(places)))
        kind = draw.random()
        if kind < 0.8:
            found[at] = draw.randrange(256)
        elif kind < 0.9:
            del found[at]
        else:
            found[at:at] = bytes((draw.randrange(256),))
    return bytes(found)


def every_field(honest: model.Model) -> Iterator[model.Model]:
    """The model with each field changed: to nothing, to the ends of its range, to a path."""
    values = {
        "int": (0, 1, -1, 4, (1 << 31) - 1, -(1 << 31)), "size": (0, wire.LARGEST), "bool": (False, True),
        "float": (0.0, -1.0, 0.5), "text": ("", "/nowhere/at/all", "\0", "é" * 300),
        "bytes": (b"", b"\0", b"\0" * 2000), "texts": ([], [""], ["/nowhere/at/all"] * 3),
    }  # fmt: skip
    for part, schema in (
        ("trainer", wire.TRAINER),
        ("normalizer", wire.NORMALIZER),
        ("denormalizer", wire.NORMALIZER),
    ):
        before = getattr(honest, part) or {}
        yield honest._replace(**{part: None})
        yield honest._replace(**{part: {}})
        for name, field in schema.items():
            yield honest._replace(**{part: {key: value for key, value in before.items() if key != name}})
            for value in values[field.kind]:
                yield honest._replace(**{part: {**before, name: value}})
    for at in range(0, len(honest.pieces), 7):
        for kind in range(8):
            yield with_type(honest, at, kind)
        for score in (0.0, -1e30, 1e30):
            scores = honest.scores.copy()
            scores[at] = score
            yield honest._replace(scores=scores)
        for piece in ("\u2581", "@", "é" * 500, " "):
            yield honest._replace(pieces=[*honest.pieces[:at], piece, *honest.pieces[at + 1 :]])


def every_unit(honest: model.Model, draw: random.Random, many: int) -> Iterator[model.Model]:
    """The model with units of its double array changed at random."""
    data = (honest.normalizer or {})["precompiled_charsmap"]
    size = int.from_bytes(data[:4], "little") // 4
    for _ in range(many):
        units = np.frombuffer(data, "<u4", size, 4).astype(np.int64)
        for _ in range(draw.choice((1, 2, 5))):
            at = draw.choice((0, draw.randrange(size)))
            other = draw.getrandbits(32), units[at] ^ (1 << draw.randrange(32)), units[at] | 256
            units[at] = draw.choice((*other, units[at] & 1023 | draw.randrange(size) << 10)) & 0xFFFFFFFF
        yield normalizing(honest, data[:4] + units.astype("<u4").tobytes() + data[4 + 4 * size :])


def run(kind: str) -> None:
    """Have the library use all that passes, of a model that was changed in many ways; say how many passed."""
    draw, honest = random.Random(kind), MODELS[kind]()
    forged: list[Callable[[], bytes]] = [
        lambda each=each: model.written(each) for each in every_field(honest)
    ]
    forged += [lambda: model.written(model.read(changes(small.trained(kind), draw)))] * 150
    if (honest.normalizer or {}).get("precompiled_charsmap"):
        forged += [lambda each=each: model.written(each) for each in every_unit(honest, draw, 150)]
    passed = refused = 0
    for make in forged:
        try:
            data = make()
        except ValueError:
            refused += 1
            continue
        small.used(data)
        passed += 1
    print(passed, refused)


@pytest.mark.shows("SentencePiece", "hostile files tried")
@pytest.mark.slow
@pytest.mark.parametrize("kind", small.KINDS)
def test_what_passes_never_crashes_the_library(
    kind: str, record_property: Callable[[str, int], None]
) -> None:
    program = (
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_sentencepiece as test\ntest.run({kind!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    passed, refused = map(int, done.stdout.split())
    assert passed > 100
    assert refused > 100
    record_property("hostile files", passed + refused)
