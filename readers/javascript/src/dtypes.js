/** dtypes of NumPy, and how the elements of an array are stored. */
import { refuse, shown, tooLarge } from "./errors.js";
import { toFloats } from "./floats.js";
import { entriesOf } from "./tree.js";

const SIMPLE = /^([<>|])([biufcmMOSUV])(0|[1-9][0-9]*)?(?:\[(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as|[1-9][0-9]*(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as))\])?$/;
const SIZES = new Map([
  ["b", [1]], ["i", [1, 2, 4, 8]], ["u", [1, 2, 4, 8]], ["f", [2, 4, 8, 16]], ["c", [8, 16, 32]], ["m", [8]], ["M", [8]],
]); // prettier-ignore
const MOST = 2 ** 31 - 1;

const bad = (dtype) => refuse("3.10", `${typeof dtype === "string" ? shown(dtype) : "an object"} is not a dtype`);
const isSize = (value) => Number.isSafeInteger(value) && value >= 0;

/**
 * A dtype that was checked: `{ name, kind, size, big, base, shape, fields, flexible }`. `size` is in bytes, `name` what the
 * file says: a string, or a plain description of a structure.
 */
export function dtypeOf(value, depth = 0) {
  if (depth > 64) bad(value);
  if (typeof value === "string") return simple(value);
  if (!(value instanceof Map)) return bad(value);
  if (value.has("$order")) return dtypeOf(new Map(entriesOf(value)), depth);
  if (value.has("string")) return flexible(value);
  if (value.has("ml_dtypes")) return small(value);
  if (value.has("base")) return nested(value, depth);
  return structure(value, depth);
}

function simple(text) {
  const found = SIMPLE.exec(text);
  if (!found) return bad(text);
  const [, mark, kind, digits, unit] = found;
  const dtype = { name: text, kind, big: mark === ">", unit: unit ?? null };
  if (kind === "O") {
    if (text !== "|O") bad(text);
    return { ...dtype, size: 8 }; // in a structure
  }
  if (digits === undefined) return bad(text);
  const number = Number(digits);
  if (unit !== undefined && kind !== "m" && kind !== "M") bad(text);
  if (unit !== undefined && /^1[a-zA-Z]/.test(unit)) bad(text);
  if (unit !== undefined && parseInt(unit, 10) > MOST) bad(text);
  const size = kind === "U" ? 4 * number : number;
  if (size > MOST) bad(text);
  const sizes = SIZES.get(kind);
  if (sizes && !sizes.includes(number)) bad(text);
  const ordered = kind === "U" || (sizes && kind !== "b" && size > 1);
  if ((mark !== "|") !== Boolean(ordered)) bad(text);
  return { ...dtype, size };
}

function nested(value, depth) {
  if (value.size !== 2 || !value.has("shape")) bad(value);
  const base = dtypeOf(value.get("base"), depth + 1);
  const shape = value.get("shape");
  if (!Array.isArray(shape) || !shape.length || shape.length > 64 || !shape.every(isSize)) bad(value);
  const size = shape.reduce((all, each) => all * each, base.size);
  if (size > MOST) bad(value);
  return { name: { base: base.name, shape }, kind: "nested", base, shape, size };
}

const KEYS = new Set(["names", "formats", "offsets", "itemsize", "titles", "aligned"]);

function structure(value, depth) {
  const [names, formats, offsets, titles] = ["names", "formats", "offsets", "titles"].map((key) => value.get(key));
  const size = value.get("itemsize");
  const isName = (name) => typeof name === "string";
  const lists = [names, formats, offsets].every((list) => Array.isArray(list) && list.length === names.length);
  const fits = lists && [...value.keys()].every((key) => KEYS.has(key)) && names.every(isName);
  if (!fits || new Set(names).size !== names.length || !isSize(size) || size > MOST) bad(value);
  if (!offsets.every((offset) => Number.isSafeInteger(offset))) bad(value);
  if (value.has("aligned") && value.get("aligned") !== true) bad(value);
  const isTitle = (title) => title === null || isName(title);
  if (value.has("titles") && !(Array.isArray(titles) && titles.length === names.length && titles.every(isTitle))) bad(value);
  const fields = names.map((name, i) => ({ name, dtype: dtypeOf(formats[i], depth + 1), offset: offsets[i] }));
  for (const { name, dtype, offset } of fields) {
    if (offset < 0 || offset + dtype.size > size) refuse("3.11", `the field ${shown(name)} is not within its structure`);
  }
  const described = { names, formats: fields.map(({ dtype }) => dtype.name), offsets, itemsize: size };
  return { name: described, kind: "structure", fields, size };
}

function flexible(value) {
  const state = value.get("string");
  const fits = value.size === 1 && Array.isArray(state) && state.length === 3;
  if (!fits || typeof state[0] !== "boolean" || typeof state[2] !== "boolean") bad(value);
  return { name: "string", kind: "flexible", size: 0, na: state[1] };
}

const SMALL = new Map([["bfloat16", ["BF16", 2]], ["float8_e4m3fn", ["F8_E4M3", 1]], ["float8_e5m2", ["F8_E5M2", 1]]]);

/** A dtype of the package ml_dtypes: its bytes, which become floats if safetensors has the dtype, too. */
function small(value) {
  const name = value.get("ml_dtypes");
  if (value.size !== 1 || typeof name !== "string" || !/^[a-z0-9_]{1,40}$/.test(name)) bad(value);
  const [code, size] = SMALL.get(name) ?? [null, 1];
  return { name, kind: "ml", size, code };
}

/** Whether a dtype has objects in it, which are not bytes. */
export function hasObjects(dtype) {
  if (dtype.kind === "O" || dtype.kind === "flexible") return true;
  if (dtype.kind === "nested") return hasObjects(dtype.base);
  return dtype.kind === "structure" && dtype.fields.some((field) => hasObjects(field.dtype));
}

/** How a tensor holds the elements of an array: its dtype, and how many items an element is (null: an axis of none). */
export function carrier(dtype) {
  const { kind, size, big } = dtype;
  if (!big) {
    if (kind === "b") return ["BOOL", null];
    if ("iu".includes(kind)) return [`${kind.toUpperCase()}${8 * size}`, null];
    if (kind === "f" && size <= 8) return [`F${8 * size}`, null];
    if (kind === "c" && size <= 16) return [`F${4 * size}`, 2];
    if (kind === "m" || kind === "M") return ["I64", null];
    if (kind === "U") return ["U32", size / 4];
  }
  return ["U8", size];
}

/** dtype of safetensors → NumPy's string, for arrays that are a tensor as it is. */
export const NUMPY = new Map([
  ["BOOL", "|b1"], ["I8", "|i1"], ["U8", "|u1"], ["I16", "<i2"], ["U16", "<u2"], ["F16", "<f2"], ["I32", "<i4"],
  ["U32", "<u4"], ["F32", "<f4"], ["I64", "<i8"], ["U64", "<u8"], ["F64", "<f8"],
]); // prettier-ignore

const TYPED = new Map([
  ["b1", Uint8Array], ["i1", Int8Array], ["u1", Uint8Array], ["i2", Int16Array], ["u2", Uint16Array], ["f2", Uint16Array],
  ["i4", Int32Array], ["u4", Uint32Array], ["f4", Float32Array], ["i8", BigInt64Array], ["u8", BigUint64Array],
  ["f8", Float64Array], ["c8", Float32Array], ["c16", Float64Array], ["m8", BigInt64Array], ["M8", BigInt64Array],
]); // prettier-ignore

/** Elements in little-endian order, as `data` of an NDArray has them. `bytes` belong to nobody else. */
export function elements(dtype, bytes) {
  check(dtype, bytes, 0, dtype.size, dtype.size ? bytes.length / dtype.size : 0, { left: 4 * bytes.length + 2 ** 20 });
  if (dtype.kind === "U") return texts(dtype, bytes);
  const Kind = dtype.kind === "ml" && dtype.size === 2 ? Uint16Array : TYPED.get(`${dtype.kind}${dtype.size}`);
  if (!Kind) return bytes;
  const own = bytes.byteOffset % 8 ? bytes.slice() : bytes;
  if (dtype.big) swap(own, dtype.kind === "c" ? dtype.size / 2 : dtype.size);
  return new Kind(own.buffer, own.byteOffset, own.length / Kind.BYTES_PER_ELEMENT);
}

/** What turns elements into floats, for dtypes that are numbers. */
export function floating(dtype) {
  if (dtype.kind === "ml" && dtype.code !== null) return (data) => toFloats(dtype.code, data);
  if (!"biuf".includes(dtype.kind) || !TYPED.has(`${dtype.kind}${dtype.size}`)) return null;
  const name = dtype.kind === "f" ? `F${8 * dtype.size}` : "integer";
  return (data) => toFloats(name, data);
}

function swap(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function texts(dtype, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = [];
  for (let at = 0; at < bytes.length; at += dtype.size) {
    let end = at + dtype.size;
    while (end > at && view.getUint32(end - 4, true) === 0) end -= 4;
    const points = [];
    for (let i = at; i < end; i += 4) points.push(view.getUint32(i, !dtype.big));
    let text = "";
    for (let i = 0; i < points.length; i += 4096) text += String.fromCodePoint(...points.slice(i, i + 4096));
    found.push(text);
  }
  return found;
}

/** Refuses booleans that are neither 0 nor 1, and code points that do not exist, in fields of structures too. */
function check(dtype, bytes, offset, step, count, work) {
  if (!count || !step) return;
  if (dtype.kind === "structure") {
    for (const field of dtype.fields) check(field.dtype, bytes, offset + field.offset, step, count, work);
    return;
  }
  const base = dtype.kind === "nested" ? dtype.base : dtype;
  if (dtype.kind === "nested" && base.size) {
    for (let at = 0; at < dtype.size; at += base.size) check(base, bytes, offset + at, step, count, work);
    return;
  }
  if (dtype.kind !== "b" && dtype.kind !== "U") return;
  work.left -= count * Math.max(dtype.size, 1);
  if (work.left < 0) tooLarge("a structure has too many overlapping fields for this reader");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0, at = offset; i < count; i += 1, at += step) {
    if (dtype.kind === "b") {
      if (bytes[at] > 1) refuse("3.16", `a boolean is the byte ${bytes[at]}`);
      continue;
    }
    for (let j = at; j < at + dtype.size; j += 4) {
      if (view.getUint32(j, !dtype.big) > 0x10ffff) refuse("3.14", "a text has a code point beyond 0x10FFFF");
    }
  }
}

/** Elements of `size` bytes in C order, from those whose axes are in another order. */
export function reordered(bytes, size, shape, order) {
  // `shape` is that of the stored array; its axis j is the axis order[j] of the array
  const logical = new Array(shape.length);
  const steps = new Array(shape.length);
  let step = size;
  for (let j = shape.length - 1; j >= 0; j -= 1) {
    logical[order[j]] = shape[j];
    steps[order[j]] = step;
    step *= shape[j];
  }
  const found = new Uint8Array(bytes.length);
  const index = new Array(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < bytes.length; to += size) {
    for (let i = 0; i < size; i += 1) found[to + i] = bytes[from + i];
    for (let axis = logical.length - 1; axis >= 0; axis -= 1) {
      index[axis] += 1;
      from += steps[axis];
      if (index[axis] < logical[axis]) break;
      from -= steps[axis] * logical[axis];
      index[axis] = 0;
    }
  }
  return { bytes: found, shape: logical };
}
