/** Files from an attacker: refused, with bounded memory and time. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { open } from "../index.js";
import { canonical, parse } from "../src/json.js";
import { node, pack, raw } from "./packs.js";

const shape = (n) => Array.from({ length: n }, () => 2 ** 30);

test("sizes are checked before anything is allocated", async () => {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, 99_999_992n, true);
  await assert.rejects(open(head), { rule: "1.01" });
  const empty = { dtype: "|V0", shape: [2 ** 40], data: "" };
  const cases = [
    [node("numpy.array", empty), "limit"],
    [node("numpy.array", { ...empty, shape: shape(60) }), "refused"],
    [node("torch.Tensor", { base: node("torch.Tensor", { data: "00", dtype: "uint8" }), dtype: "uint8", offset: 0, shape: [2 ** 36], stride: [0] }), "limit"],
    [node("torch.Tensor", { base: node("torch.Tensor", { data: "00", dtype: "uint8" }), dtype: "uint8", offset: 0, shape: shape(64), stride: shape(64).fill(0) }), "refused"],
  ]; // prettier-ignore
  for (const [tree, code] of cases) await assert.rejects((await open(pack(tree))).value(), { code });
});

test("the same tensor named a thousand times is not a thousand copies", async () => {
  const data = new Uint8Array(8 * 4096);
  const ints = { int: { $tensor: "t" } };
  const tree = node("list", Array.from({ length: 1000 }, () => node("list", ints)));
  const file = await open(pack(tree, [["t", "I64", [4096], data]]), { maxBytes: 2 ** 16 });
  await assert.rejects(file.value(), { code: "limit" });
});

test("a deep chain of references ends in an error of the reader, not of JavaScript", async () => {
  const links = Array.from({ length: 5000 }, (_, i) => node("list", [{ $ref: i + 1 }], { id: i }));
  const file = await open(pack(node("list", [...links, node("list", [], { id: 5000 })])));
  await assert.rejects(file.value(), { code: "limit" });
});

test("nothing is read that is larger than the caller allows", async () => {
  const bytes = pack(node("numpy.array", { $tensor: "t" }), [["t", "U8", [2, 8], new Uint8Array(16)]]);
  const file = await open(bytes, { maxBytes: 15 });
  await assert.rejects(file.tensor("t"), { code: "limit" });
  await assert.rejects(file.value(), { code: "limit" });
  assert.equal((await file.tensor("t", { box: [[0, 1]] })).data.length, 8);
  assert.equal((await file.tensor("t", { maxBytes: 16 })).data.length, 16);
  assert.equal((await file.value("model", { maxBytes: 16 })).data.length, 16);
  assert.equal((await file.value("model", { arrays: "leave" })).tensor, "t");
});

test("blocks that are right do not make up for a wrong hash of all of them", async () => {
  const change = ({ own }) => (own.hashes[0] = "0".repeat(64));
  const file = await open(pack(null, [["t", "U8", [2 ** 23], new Uint8Array(2 ** 23)]], change));
  await assert.rejects(file.tensor("t", { box: [[0, 1]] }), { code: "damaged", rule: "1.22" });
});

test("a text of empty objects does not take many times its length", () => {
  assert.throws(() => parse(`[${"{},".repeat(1e6)}0]`, { what: "it", room: 2 ** 26 }), { code: "limit" });
  assert.equal(parse(`[${"{},".repeat(1e5)}0]`, { what: "it", room: 2 ** 26 }).length, 1e5 + 1);
});

test("nested JSON costs no stack", () => {
  const text = "[".repeat(1e6);
  assert.throws(() => parse(text, { what: "it" }), { rule: "2.16" });
  let deep = [];
  for (let i = 0; i < 1e5; i += 1) deep = [deep];
  assert.equal(canonical(deep).length, 200002);
});

test("equal keys made of shared tuples are found in linear time", async () => {
  let tree = node("tuple", [1], { id: 0 });
  for (let i = 1; i < 60; i += 1) tree = node("tuple", [tree, { $ref: i - 1 }], { id: i });
  const file = await open(pack(node("dict", [[tree, { $ref: 59 }], [1, 2]])));
  await assert.rejects(file.value(), { rule: "3.09" });
});

test("a decision tree whose children point back is refused, so that walks end", async () => {
  const tree = node("sklearn.tree", ["model/sklearn.tree", 0]);
  const made = (left) => {
    const ints = (...each) => raw(Int32Array.from(each));
    const floats = (...each) => raw(Float64Array.from(each));
    const columns = { left_child: ints(left, -1, -1), right_child: ints(2, -1, -1), feature: ints(0, -2, -2),
      threshold: floats(1, -2, -2), impurity: floats(0, 0, 0), n_node_samples: ints(2, 1, 1),
      weighted_n_node_samples: floats(2, 1, 1), missing_go_to_left: Uint8Array.of(0, 0, 0) }; // prettier-ignore
    const dtype = (name, data) => (data.length === 3 ? "U8" : data.length === 12 ? "I32" : "F64");
    const tensors = Object.entries(columns).map(([name, data]) => [name, dtype(name, data), [3], data]);
    const wide = (...each) => raw(BigInt64Array.from(each, BigInt));
    tensors.push(["values", "F64", [3], floats(0, 1, 2)], ["trees", "I64", [1, 4], wide(3, 1, 1, 1)], ["classes", "I64", [1], wide(1)]);
    const named = (name) => ({ $tensor: name });
    const nodes = Object.fromEntries(Object.keys(columns).map((name) => [name, named(name)]));
    const batch = { nodes, values: named("values"), trees: named("trees"), classes: named("classes") };
    return open(pack(tree, tensors, ({ manifest }) => (manifest.parts.model.batches = { "model/sklearn.tree": batch })));
  };
  assert.deepEqual([...(await (await made(1)).value()).leftChild], [1, -1, -1]);
  for (const left of [0, 2, 3, -5, 2 ** 31 - 1]) await assert.rejects((await made(left)).value(), { rule: "4.07" });
});

test("no single flipped bit of a file is accepted", async () => {
  const path = new URL("../../../tests/golden/single.1.saver", import.meta.url);
  const whole = new Uint8Array(await readFile(path));
  const read = async (bytes) => {
    const file = await open(bytes);
    await file.verify();
    return file.value();
  };
  await read(whole);
  for (let at = 0; at < whole.length; at += 1) {
    const bytes = whole.slice();
    bytes[at] ^= 1 << at % 8;
    await assert.rejects(read(bytes), { name: "SaverError" }, `at ${at}`);
  }
});

test("no shortened file is accepted, and none with more bytes", async () => {
  const whole = pack(node("list", [1]), [["t", "U8", [5], new Uint8Array(5)]]);
  for (let size = 0; size < whole.length; size += size < 200 ? 1 : 97) {
    await assert.rejects(open(whole.slice(0, size)), { name: "SaverError" });
  }
  await assert.rejects(open(Uint8Array.from([...whole, 0])), { rule: "1.20" });
});

test("messages show texts of a file without control characters", async () => {
  const error = await open(pack(node("\u001b[31m\u202eevil\n", null))).catch((each) => each);
  assert.equal(error.rule, "2.17");
  assert.doesNotMatch(error.message, /[\u0000-\u001f\u202a-\u202e]/);
});
