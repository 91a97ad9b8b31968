/** Layer 1: the container. Its header is checked whole before anything in it is used. */
import { damaged, refuse, shown, unsupported } from "./errors.js";
import { hex, isHash } from "./hash.js";
import { parse, utf8 } from "./json.js";
import { checkTiling } from "./boxes.js";

const PREFIX = '{"__metadata__":{"saver.header":"';
const SEALED = '{"__metadata__":{"saver.seal":';
const HEADER_LIMIT = 100_000_000;
export const BLOCK = 4 * 2 ** 20;
export const LARGE = 8 * 2 ** 20;

/** dtype of safetensors → bytes of an item. */
export const ITEM = new Map([
  ["BOOL", 1], ["I8", 1], ["U8", 1], ["F8_E4M3", 1], ["F8_E5M2", 1], ["I16", 2], ["U16", 2], ["F16", 2], ["BF16", 2],
  ["I32", 4], ["U32", 4], ["F32", 4], ["I64", 8], ["U64", 8], ["F64", 8],
]); // prettier-ignore

const isObject = (value) => value instanceof Map;
const isSize = (value) => Number.isInteger(value) && value >= 0;

/**
 * Reads and checks the header of a pack. Returns `{ id, hash, metadata, tensors }`: `tensors` maps each name to
 * `{ name, dtype, shape, shards }`, and a shard is
 * `{ offsets, sizes, begin, length, hash, blocks }`, `begin` counted from the start of the file.
 */
export async function readPack(source, blake3, limit = HEADER_LIMIT, room = undefined) {
  const text = await headerOf(source, blake3, Math.min(limit, HEADER_LIMIT));
  const header = parse(text.json, { what: "the header", depth: 64, deep: "1.16", padded: true, room });
  const metadata = header.get("__metadata__");
  for (const value of metadata.values()) {
    if (typeof value !== "string") refuse("1.10", "a value of `__metadata__` is not a string");
  }
  if (!metadata.has("saver")) refuse("1.11", "`saver` is missing in the header");
  const own = parse(metadata.get("saver"), { what: "`saver` of the header", depth: 64, deep: "1.11", room });
  checkOwn(own);
  const slots = slotsOf(header, text.length, source.size);
  const hashes = own.get("hashes");
  if (hashes.length !== slots.length) {
    refuse("1.14", `the header has ${slots.length} tensors and ${hashes.length} hashes`);
  }
  hashes.forEach((hash, i) => {
    if (!isHash(hash)) refuse("1.15", `the hash of the tensor ${shown(slots[i].name)} is not one`);
    slots[i].hash = hash;
  });
  addBlocks(slots, own.get("blocks"));
  const tensors = tensorsOf(slots, own.get("cuts") ?? new Map());
  return { id: own.get("id"), hash: text.hash, metadata, tensors };
}

async function headerOf(source, blake3, limit) {
  if (source.size < 8) refuse("1.01", `${source.name} has ${source.size} bytes, too few for a .saver file`);
  const first = await source.read(0, 8);
  const long = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (long > BigInt(limit)) {
    if (long <= BigInt(HEADER_LIMIT)) unsupported(`the header has ${long} bytes, more than maxHeader`);
    refuse("1.02", `the header would have ${long} bytes, more than ${HEADER_LIMIT}; this is not a .saver file`);
  }
  const length = 8 + Number(long);
  if (length > source.size) refuse("1.01", `${source.name} ends within its header`);
  const start = new TextDecoder("latin1").decode(await source.read(8, Math.min(length, 8 + PREFIX.length)));
  if (start.startsWith(SEALED)) {
    unsupported(
      "the file is compressed or encrypted, which this reader does not read; write it plainly with Saver",
      "6.02",
    );
  }
  if (length % 4096) refuse("1.03", `the header ends at ${length}, not at a multiple of 4096`);
  if (start !== PREFIX) refuse("1.04", `${source.name} does not begin as a .saver file does`);
  const bytes = await source.read(0, length);
  const declared = new TextDecoder("latin1").decode(bytes.subarray(41, 105));
  bytes.fill(0x30, 41, 105);
  const hash = hex(await blake3(bytes));
  if (hash !== declared) damaged("1.05", "the header does not have its hash: the file is damaged");
  const json = utf8(bytes.subarray(8), "the header");
  return { json, length, hash };
}

function checkOwn(own) {
  const bad = (what) => refuse("1.11", `\`saver\` of the header: ${what}`);
  if (!isObject(own)) bad("it is not an object");
  const isList = (value) => Array.isArray(value) && value.every((each) => typeof each === "string");
  if (!Number.isInteger(own.get("format"))) bad("`format` is not an integer");
  if (own.get("format") !== 1) {
    refuse("1.12", `the file has the format ${own.get("format")}; this reader knows 1, a newer one is needed`);
  }
  if (typeof own.get("id") !== "string") bad("`id` is not a string");
  if (!/^[0-9a-f]{32}$/.test(own.get("id"))) refuse("1.13", "`id` is not 32 hexadecimal digits");
  if (!isList(own.get("hashes"))) bad("`hashes` is not a list of strings");
  const blocks = own.get("blocks");
  if (!isObject(blocks) || ![...blocks.values()].every(isList)) bad("`blocks` is not an object of lists");
  if (own.has("cuts")) checkCuts(own.get("cuts"), bad);
}

function checkCuts(cuts, bad) {
  if (!isObject(cuts)) bad("`cuts` is not an object");
  const isInts = (value) => Array.isArray(value) && value.every((each) => Number.isInteger(each));
  for (const [name, cut] of cuts) {
    const fits =
      isObject(cut) && isInts(cut.get("shape")) && isObject(cut.get("shards")) &&
      [...cut.get("shards").values()].every(isInts); // prettier-ignore
    if (!fits) bad(`the cut of ${shown(name)} has not the form of the page`);
  }
}

/** The tensors of the header, in the order of their data, which they must fill. */
function slotsOf(header, start, size) {
  const slots = [];
  let at = 0;
  for (const [name, slot] of header) {
    if (name === "__metadata__") continue;
    const { dtype, shape, offsets } = fieldsOf(name, slot);
    const [begin, end] = offsets;
    const length = product(shape) * BigInt(ITEM.get(dtype));
    if (begin !== at || BigInt(end) - BigInt(begin) !== length) {
      refuse("1.19", `the tensor ${shown(name)} is not where, or as long as, it should be`);
    }
    at = end;
    slots.push({ name, dtype, shape, begin: start + begin, length: end - begin, hash: "", blocks: null });
  }
  if (start + at !== size) {
    refuse("1.20", `the tensors end at byte ${start + at}, the file at ${size}`);
  }
  return slots;
}

function fieldsOf(name, slot) {
  const bad = (what) => refuse("1.16", `the tensor ${shown(name)}: ${what}`);
  if (!isObject(slot) || slot.size !== 3) bad("it has not exactly the three fields of a tensor");
  const dtype = slot.get("dtype");
  const shape = slot.get("shape");
  const offsets = slot.get("data_offsets");
  if (typeof dtype !== "string") bad("`dtype` is not a string");
  if (!Array.isArray(shape) || !shape.every(Number.isInteger)) bad("`shape` is not a list of integers");
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(Number.isInteger)) {
    bad("`data_offsets` are not two integers");
  }
  if (!ITEM.has(dtype)) refuse("1.17", `the tensor ${shown(name)} has the unknown dtype ${shown(dtype)}`);
  if (shape.length > 64 || !shape.every(isSize)) {
    refuse("1.18", `the tensor ${shown(name)} has an impossible shape`);
  }
  return { dtype, shape, offsets };
}

/** The product of sizes, exactly. */
export function product(sizes) {
  return sizes.includes(0) ? 0n : sizes.reduce((all, size) => all * BigInt(size), 1n);
}

function addBlocks(slots, blocks) {
  const rest = new Set(blocks.keys());
  for (const slot of slots) {
    const has = rest.delete(slot.name);
    if (has !== slot.length >= LARGE) refuse("1.21", `blocks of the tensor ${shown(slot.name)} are missing, or too many`);
    if (!has) continue;
    slot.blocks = blocks.get(slot.name);
    if (slot.blocks.length !== Math.ceil(slot.length / BLOCK)) {
      refuse("1.21", `the tensor ${shown(slot.name)} has ${slot.blocks.length} blocks, which do not fit its length`);
    }
    if (!slot.blocks.every(isHash)) refuse("1.15", `a block of the tensor ${shown(slot.name)} has no hash`);
  }
  if (rest.size) refuse("1.21", `there are blocks of ${shown([...rest][0])}, which is no tensor`);
}

function tensorsOf(slots, cuts) {
  const byName = new Map(slots.map((slot) => [slot.name, slot]));
  const tensors = new Map();
  const used = new Set();
  const cutTensors = [];
  for (const [name, cut] of cuts) {
    if (byName.has(name)) refuse("1.24", `a tensor that is cut has the name of another one: ${shown(name)}`);
    const shape = cut.get("shape");
    const shards = [];
    for (const [own, offsets] of cut.get("shards")) {
      const slot = byName.get(own);
      if (!slot || used.has(own)) refuse("1.24", `${shown(own)} is not a shard of ${shown(name)} alone`);
      used.add(own);
      shards.push({ ...shardOf(slot), offsets, sizes: slot.shape, dtype: slot.dtype });
    }
    if (!shards.length) refuse("1.24", `the tensor ${shown(name)} has no shards`);
    if (shards.some(({ dtype }) => dtype !== shards[0].dtype)) {
      refuse("1.25", `the shards of ${shown(name)} have several dtypes`);
    }
    checkTiling(name, shape, shards);
    cutTensors.push({ name, dtype: shards[0].dtype, shape, shards });
  }
  for (const slot of slots) {
    if (used.has(slot.name)) continue;
    const whole = { ...shardOf(slot), offsets: slot.shape.map(() => 0), sizes: slot.shape };
    tensors.set(slot.name, { name: slot.name, dtype: slot.dtype, shape: slot.shape, shards: [whole] });
  }
  for (const tensor of cutTensors) tensors.set(tensor.name, tensor);
  return tensors;
}

function shardOf({ name, begin, length, hash, blocks }) {
  return { name, begin, length, hash, blocks };
}
