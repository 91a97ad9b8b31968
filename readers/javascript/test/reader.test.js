/** Values, tensors, boxes: what a file holds is what the reader gives. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { Float, NDArray, PySet, SaverError, Tuple, open } from "../index.js";
import { hex, plainBlake3 } from "../src/hash.js";
import { neutral } from "../src/neutral.js";
import { ID, node, pack, raw } from "./packs.js";

test("BLAKE3 is BLAKE3", () => {
  assert.equal(hex(plainBlake3(new Uint8Array())), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  assert.equal(hex(plainBlake3(Uint8Array.from({ length: 102400 }, (_, i) => i % 251))), "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085");
});

test("a file says what it is", async () => {
  const file = await open(pack(5));
  assert.deepEqual([file.id, file.parts, file.whole, file.time, file.tensors], [ID, ["model"], false, 0, []]);
  assert.equal(await file.value(), 5);
});

test("values of Python become values of JavaScript", async () => {
  const cases = [
    [null, null], [true, true], ["a", "a"], [1.5, 1.5], [{ $float: 1 }, 1], [{ $float: "-0" }, -0],
    [node("int", "-20000000000001"), -9007199254740993n], [node("float", "fff0000000000000"), -Infinity],
    [node("list", [1, node("tuple", [2])]), [1, Tuple.from([2])]], [node("bytes", "AP8="), Uint8Array.of(0, 255)],
    [node("dict", { $order: [1, 0], a: 1, b: 2 }), new Map([["b", 2], ["a", 1]])],
    [node("dict", [[node("tuple", [1])], [2]]), new Map([[Tuple.from([1]), 2]])],
    [node("set", [1, "a"]), new PySet([1, "a"])], [node("str", "7aC9"), "\ud83d"],
  ]; // prettier-ignore
  for (const [tree, expected] of cases) assert.deepEqual(await (await open(pack(tree))).value(), expected);
});

test("floats can be kept apart from integers", async () => {
  const file = await open(pack(node("list", [1, { $float: 1 }, 1.5])));
  assert.deepEqual(await file.value("model", { exact: true }), [1, new Float(1), new Float(1.5)]);
});

test("an object that is in two places is one object, and may contain itself", async () => {
  const file = await open(pack(node("list", [node("list", [{ $ref: 1 }], { id: 2 }), { $ref: 2 }], { id: 1 })));
  const value = await file.value();
  assert.equal(value[0], value[1]);
  assert.equal(value[0][0], value);
});

test("keys that mean something to JavaScript mean nothing here", async () => {
  const text = '{"format":1,"parts":{"model":{"hash":"' + "0".repeat(64) +
    '","tree":{"$":"dict","state":{"__proto__":{"$":"dict","state":{"polluted":1}},"constructor":2,"toString":3}}}}}'; // prettier-ignore
  const value = await (await open(pack(0, [], (pieces) => (pieces.text = text)))).value();
  assert.equal(value.get("__proto__").get("polluted"), 1);
  assert.deepEqual([value.get("constructor"), value.get("toString"), {}.polluted], [2, 3, undefined]);
});

test("arrays have their numbers in C order, whatever their order in memory", async () => {
  const data = Buffer.from(raw(Int16Array.of(1, 4, 2, 5, 3, 6))).toString("base64");
  const array = await (await open(pack(node("numpy.array", { dtype: "<i2", shape: [3, 2], data, order: "F" })))).value();
  assert.ok(array instanceof NDArray);
  assert.deepEqual(array.toNested(), [[1, 2, 3], [4, 5, 6]]); // prettier-ignore
  const big = { dtype: ">i4", shape: [2], data: "AAAAAQAAAAI=" };
  assert.deepEqual((await (await open(pack(node("numpy.array", big)))).value()).data, Int32Array.of(1, 2));
});

test("64-bit integers are bigints, and small floats become floats", async () => {
  const file = await open(pack(null, [
    ["ints", "I64", [1], raw(BigInt64Array.of(-(2n ** 63n)))],
    ["half", "F16", [6], raw(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00, 0x7e00, 0x8000))],
    ["brain", "BF16", [2], raw(Uint16Array.of(0x3f80, 0xff80))],
    ["e4m3", "F8_E4M3", [4], Uint8Array.of(0x38, 0x7e, 0x7f, 0x01)],
    ["e5m2", "F8_E5M2", [4], Uint8Array.of(0x3c, 0x7b, 0x7c, 0x01)],
  ])); // prettier-ignore
  assert.deepEqual((await file.tensor("ints")).data, BigInt64Array.of(-(2n ** 63n)));
  const floats = async (name) => Array.from((await file.tensor(name)).floats());
  assert.deepEqual(await floats("half"), [1, -2, 2 ** -24, Infinity, NaN, -0]);
  assert.deepEqual(await floats("brain"), [1, -Infinity]);
  assert.deepEqual(await floats("e4m3"), [1, 448, NaN, 2 ** -9]);
  assert.deepEqual(await floats("e5m2"), [1, 57344, Infinity, 2 ** -16]);
});

test("every box of a tensor is what it is, however the tensor is cut", async () => {
  const all = Int32Array.from({ length: 24 }, (_, i) => i); // 2 × 3 × 4
  const shard = (o, s) => {
    const found = [];
    for (let i = o[0]; i < o[0] + s[0]; i += 1)
      for (let j = o[1]; j < o[1] + s[1]; j += 1) for (let k = o[2]; k < o[2] + s[2]; k += 1) found.push(all[12 * i + 4 * j + k]);
    return found;
  };
  const boxes = [[[0, 0, 0], [2, 1, 4]], [[0, 1, 0], [2, 2, 1]], [[0, 1, 1], [1, 2, 3]], [[1, 1, 1], [1, 2, 3]]]; // prettier-ignore
  const tensors = boxes.map(([o, s], i) => [`t#${i}`, "I32", s, raw(Int32Array.from(shard(o, s)))]);
  const cut = (pieces) => (pieces.own.cuts = { t: { shape: [2, 3, 4], shards: Object.fromEntries(boxes.map(([o], i) => [`t#${i}`, o])) } });
  for (const bytes of [pack(null, [["t", "I32", [2, 3, 4], raw(all)]]), pack(null, tensors, cut)]) {
    const file = await open(bytes);
    const ranges = (n) => Array.from({ length: n + 1 }, (_, a) => Array.from({ length: n + 1 - a }, (_, b) => [a, a + b])).flat();
    for (const i of ranges(2)) for (const j of ranges(3)) for (const k of ranges(4)) {
      const { data, shape } = await file.tensor("t", { box: [i, j, k] });
      const sizes = [i, j, k].map(([from, to]) => to - from);
      assert.deepEqual(shape, sizes);
      assert.deepEqual([...data], shard([i[0], j[0], k[0]], sizes));
    } // prettier-ignore
  }
});

test("a box of a large tensor reads and verifies the blocks that it needs alone", async () => {
  const data = new Uint8Array(3 * 2 ** 22 + 5).map((_, i) => i);
  const bytes = pack(null, [["t", "U8", [data.length], data]]);
  bytes[bytes.length - 1] ^= 1; // damage in the last block
  const read = [];
  const source = { name: "it", size: bytes.length, close: async () => {}, read: async (a, b) => (read.push(b - a), bytes.slice(a, b)) };
  const file = await open(source);
  read.length = 0;
  const from = 2 ** 22 - 3;
  const found = await file.tensor("t", { box: [[from, from + 6]] });
  assert.deepEqual([...found.data], [...data.slice(from, from + 6)]);
  assert.deepEqual(read, [2 ** 22, 2 ** 22]);
  await assert.rejects(file.tensor("t"), { code: "damaged", rule: "1.22" });
  await assert.rejects(file.verify(), { code: "damaged", rule: "1.22" });
});

test("what a caller does wrong is said", async () => {
  const file = await open(pack(null, [["t", "U8", [2], Uint8Array.of(1, 2)]]));
  for (const box of [5, [[0, 3]], [[-1, 1]], [[1, 0]], [[0, 1], [0, 1]], [[0.5, 1]]]) { // prettier-ignore
    await assert.rejects(file.tensor("t", { box }), { code: "argument" });
  }
  await assert.rejects(file.tensor("x"), { code: "argument" });
  await assert.rejects(file.value("x"), { code: "argument" });
  await assert.rejects(open(5), { code: "argument" });
  await assert.rejects(open("/no/such/file"), { code: "source" });
});

test("a file may be a path, a Blob, a buffer, or a view in the middle of one", async () => {
  const path = new URL("../../../tests/golden/single.1.saver", import.meta.url);
  const bytes = await readFile(path);
  const around = new Uint8Array(bytes.length + 3);
  around.set(bytes, 3);
  for (const from of [path, path.pathname, new Blob([bytes]), bytes, Uint8Array.from(bytes).buffer, around.subarray(3)]) {
    const file = await open(from);
    await file.verify();
    await file.close();
  }
});

test("golden files are read whole, and every hash holds", async () => {
  for (const name of ["numpy", "python", "single", "stdlib"]) {
    const file = await open(new URL(`../../../tests/golden/${name}.1.saver`, import.meta.url));
    await file.verify();
    for (const part of file.parts) await file.value(part);
    await file.close();
  }
});

test("errors are SaverErrors with a code and a rule", async () => {
  const error = await open(pack(node("list", [[]]))).then((file) => file.value()).catch((each) => each); // prettier-ignore
  assert.ok(error instanceof SaverError);
  assert.deepEqual([error.code, error.rule], ["refused", "2.21"]);
  assert.match(error.message, /\(rule 2\.21\)$/);
});

const texts = (...all) => all.map((each) => node("str", Buffer.from(each, "hex").toString("base64")));
const delta = (...all) => node("stdlib.timedelta", all);
const zone = (...all) => node("stdlib.timezone", all);
const moment = (text, of) => node("stdlib.datetime", [text, of, 0]);
const decimal = (text) => node("stdlib.Decimal", btoa(text));
const nan = node("float", "7ff8000000000000");

test("keys that differ in Python are keys here", async () => {
  const sets = [
    [node("complex", [nan, { $float: 1 }]), node("complex", [nan, { $float: 1 }])],
    [decimal("NaN"), nan],
    [decimal("1.1"), 1.1],
    [decimal("0.5"), node("stdlib.Fraction", [1, 3]), 0.25],
    [decimal("1E+400"), decimal("1E-400"), decimal("1E+6001"), { $float: 0 }],
    ["\u0000bytes\u00001", node("bytes", "AQ==")],
    [moment("2020-01-01T00:00:00", null), moment("2020-01-01T00:00:00", zone(delta(0, 0, 0))), node("stdlib.date", "2020-01-01")],
    [node("range", [0, 3, 1]), node("range", [0, 4, 2]), node("range", [0, 0, 1])],
    [node("stdlib.path", ["PurePosixPath", "a"]), node("stdlib.path", ["PurePosixPath", "A"]), node("stdlib.path", ["PureWindowsPath", "a"])],
    [node("numpy.scalar", ["<M8[s]", "AQAAAAAAAAA="]), 1],
  ]; // prettier-ignore
  for (const set of sets) {
    assert.equal((await (await open(pack(node("set", set)))).value()).items.length, set.length, JSON.stringify(set));
  }
});

test("keys that are equal in Python are refused", async () => {
  const exact = "0.1000000000000000055511151231257827021181583404541015625";
  const sets = [
    [delta(0, 0, 0), delta(0, 0, 0)],
    [moment("2020-01-01T00:00:00", zone(delta(0, 0, 0))), moment("2020-01-01T01:00:00", zone(delta(0, 3600, 0), "A"))],
    [zone(delta(0, 0, 0)), zone(delta(0, 0, 0), "A")],
    [node("range", [0, 0, 1]), node("range", [5, 1, 1])],
    [node("range", [0, 3, 2]), node("range", [0, 4, 2])],
    [1, decimal("1.0")],
    [0, decimal("-0E+5")],
    [0.1, decimal(exact)],
    [1e22, decimal("1E+22")],
    [decimal("0.1"), node("stdlib.Fraction", [1, 10])],
    [1.5, node("stdlib.Fraction", [3, 2])],
    ["a", node("numpy.scalar", ["U", "a"])],
    [1, node("numpy.scalar", ["<f4", { $float: 1 }])],
    [node("bytes", "YQ=="), node("numpy.scalar", ["S", node("bytes", "YQ==")])],
    [node("stdlib.path", ["PurePosixPath", "a"]), node("stdlib.path", ["PosixPath", "a"])],
    [node("stdlib.path", ["PureWindowsPath", "a"]), node("stdlib.path", ["WindowsPath", "A"])],
  ]; // prettier-ignore
  for (const set of sets) {
    await assert.rejects((await open(pack(node("set", set)))).value(), { rule: "3.09" }, JSON.stringify(set));
  }
});

test("two surrogates are no character, where that can be told", async () => {
  const [pair, smile] = texts("eda0bdedb880", "f09f9880");
  assert.deepEqual((await neutral(await open(pack(node("list", [pair, smile]))))).parts[0][2], { list: [{ str: "eda0bdedb880" }, { str: "f09f9880" }] });
  const column = Buffer.from("eda0bdedb880f09f9880", "hex");
  const tensors = [["t", "U8", [10], column], ["e", "I64", [2], raw(BigInt64Array.of(6n, 10n))]]; // prettier-ignore
  const run = await open(pack(node("list", { str: { $tensor: "t" }, ends: { $tensor: "e" } }), tensors));
  assert.deepEqual((await neutral(run)).parts[0][2], { list: [{ str: "eda0bdedb880" }, "😀"] });
  await assert.rejects((await open(pack(node("set", [pair, smile])))).value(), { code: "limit" });
  await assert.rejects((await open(pack(node("dict", [[pair, "😀"], [1, 2]])))).value(), { code: "limit" });
  await assert.rejects((await open(pack(node("set", [smile, "😀"])))).value(), { rule: "3.09" });
});

test("the name of a zone is any string of Python", async () => {
  const [lone] = texts("eda080");
  assert.equal((await (await open(pack(zone(delta(0, 0, 0), lone)))).value()).content.name, "\ud800");
});

test("base64 of some megabytes is read, and any other text is refused", async () => {
  const large = node("bytes", Buffer.alloc(6 * 2 ** 20, 1).toString("base64"));
  assert.equal((await (await open(pack(large))).value()).length, 6 * 2 ** 20);
  for (const text of ["A", "AA", "AA=", "AB==", "AAB=", "====", "A===", "AA==AA==", "AA\n=", "A-A="]) {
    await assert.rejects((await open(pack(node("bytes", text)))).value(), { rule: "3.04" }, text);
  }
});

test("texts have the one form that Python writes", async () => {
  const right = ["0", "-0", "1.10", "1E+1", "0.000001", "1E-7", "1.5E-7", "0E+2", "0E-7", "-Infinity", "sNaN12", "1.2E+5"];
  for (const text of right) assert.equal((await (await open(pack(decimal(text)))).value()).content, text);
  const wrong = [
    ...["+1", "1e1", "01", "1.", ".5", "1E1", "1E+0", "1E+01", "0.0000001", "inf", "NaN0", "12E+4", "1.5E+1", ""].map(decimal),
    moment("2020-01-01T00:00:00.000000", null),
    ...[[node("str", "YQ=="), 128], ["a", 4], [node("bytes", "YQ=="), 32]].map((each) => node("stdlib.Pattern", each)),
  ]; // prettier-ignore
  for (const tree of wrong) await assert.rejects((await open(pack(tree))).value(), { rule: "3.01" }, JSON.stringify(tree));
});
