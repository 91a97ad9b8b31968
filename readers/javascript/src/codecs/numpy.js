/** Arrays, scalars and the rest of NumPy. */
import { refuse, tooLarge } from "../errors.js";
import { base64 } from "../bytes.js";
import { NUMPY as STRINGS, carrier, dtypeOf, elements, floating, hasObjects, reordered } from "../dtypes.js";
import { product } from "../pack.js";
import { entriesOf, kindOf } from "../tree.js";
import { Float, NDArray, PyObject, Scalar } from "../values.js";

const isTensor = (value) => value instanceof Map && kindOf(value) === "tensor";
const isSameShape = (one, other) => one.length === other.length && one.every((size, axis) => size === other[axis]);
const isSameDtype = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const isSize = (value) => Number.isInteger(value) && value >= 0;
const form = (why) => refuse("3.17", `an array ${why}`);

function readArray(state, context) {
  if (isTensor(state)) return plain(context.d.tensorOf(state));
  if (!(state instanceof Map) || kindOf(state) !== "object") form("has a state of another form");
  const kinds = ["data", "items", "fields"].filter((key) => state.has(key));
  const known = ["dtype", "shape", "order", ...kinds];
  if (kinds.length !== 1 || !state.has("dtype") || !state.has("shape")) form("has not exactly one of data, items and fields");
  if ([...state.keys()].some((key) => !known.includes(key) && key !== "$order")) form("has an unknown field");
  if (state.has("fields") && state.has("order")) form("has an order beside its fields");
  const dtype = dtypeOf(state.get("dtype"));
  const shape = state.get("shape");
  if (!Array.isArray(shape) || shape.length > 64 || !shape.every(isSize)) form("has no shape");
  const order = orderOf(state.get("order"), shape, state.has("order"));
  const layout = { dtype, shape, order, written: state.get("order") ?? "C" };
  if (kinds[0] === "data") return ofBytes(state.get("data"), layout, context);
  if (kinds[0] === "items") return ofItems(state.get("items"), layout, context);
  return ofFields(state.get("fields"), layout, context);
}

function orderOf(order, shape, given) {
  const axes = shape.map((_, axis) => axis);
  if (!given) return axes;
  if (order === "F") return axes.reverse();
  const fits = Array.isArray(order) && order.length === shape.length && order.every((axis) => isSize(axis) && axis < shape.length);
  if (!fits || new Set(order).size !== shape.length) refuse("3.13", "the order of an array does not list each axis once");
  return order;
}

/** An array that is a tensor of the pack, as it is. */
function plain(tensor) {
  const dtype = STRINGS.get(tensor.dtype);
  if (dtype === undefined) refuse("3.15", `an array is a tensor ${tensor.dtype}, which NumPy lacks`);
  return new NDArray(dtype, [...tensor.shape], tensor.data, { tensor: tensor.name, floats: floating(dtypeOf(dtype)) });
}

const count = (shape) => {
  const number = product(shape);
  if (number > 2n ** 48n) refuse("3.12", "an array has another number of elements than its shape says");
  return Number(number);
};

function ofBytes(data, { dtype, shape, order, written }, { d }) {
  if (hasObjects(dtype)) form("of objects is stored as bytes");
  const size = count(shape) * dtype.size;
  let bytes;
  if (isTensor(data)) {
    const tensor = d.tensorOf(data);
    checkCarrier(tensor, dtype, shape);
    if (tensor.data === null) {
      const logical = shape.slice();
      order.forEach((axis, i) => (logical[axis] = shape[i]));
      return new NDArray(dtype.name, logical, null, { order: written, tensor: tensor.name });
    }
    bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength).slice();
  } else if (typeof data === "string") {
    bytes = base64(data);
  } else {
    form("has data of another form");
  }
  if (bytes.length !== size) refuse("3.12", `an array has ${bytes.length} bytes, its shape and dtype say ${size}`);
  d.budget.charge(2 * bytes.length + (dtype.kind === "U" ? 4 * bytes.length : 0));
  const isMoved = order.some((axis, i) => axis !== i);
  const moved = isMoved ? reordered(bytes, dtype.size, shape, order) : { bytes, shape };
  const logical = [...moved.shape];
  if (dtype.size === 0) {
    if (count(shape) > 2 ** 24) tooLarge("an array has too many elements of no bytes for this reader");
    return new NDArray(dtype.name, logical, "US".includes(dtype.kind) ? Array(count(shape)).fill("") : bytes, { order: written });
  }
  return new NDArray(dtype.name, logical, elements(dtype, moved.bytes), { order: written, floats: floating(dtype) });
}

function checkCarrier(tensor, dtype, shape) {
  const [kind, width] = carrier(dtype);
  const expected = width === null ? shape : [...shape, width];
  const fitsAs = (axes) => tensor.shape.length === axes.length && axes.every((axis, i) => tensor.shape[i] === axis);
  const fits = fitsAs(expected) || (dtype.kind === "ml" && dtype.size === 1 && fitsAs(shape));
  if (tensor.dtype !== kind || !fits) refuse("3.15", "the tensor of an array has another dtype or shape than the page says");
}

function rearranged(items, { shape, order }) {
  if (!order.some((axis, i) => axis !== i)) return { items, shape: [...shape] };
  const places = new Uint32Array(items.length).map((_, i) => i);
  const moved = reordered(new Uint8Array(places.buffer), 4, shape, order);
  return { items: Array.from(new Uint32Array(moved.bytes.buffer), (at) => items[at]), shape: moved.shape };
}

function ofItems(state, { dtype, shape, order, written }, { d, keep, bad }) {
  if (dtype.kind !== "O" && dtype.kind !== "flexible") form("of numbers is stored as items");
  if (!Array.isArray(state) && !(state instanceof Map && kindOf(state) === "object")) form("has items that are no run");
  const array = keep(new NDArray(dtype.name, [...shape], [], { order: written }));
  const items = d.run(state, bad);
  if (items.length !== count(shape)) refuse("3.12", `an array has ${items.length} items, its shape says ${count(shape)}`);
  const moved = rearranged(items, { shape, order });
  array.data = moved.items;
  array.shape = moved.shape;
  return array;
}

function ofFields(state, { dtype, shape, written }, { d, keep, bad }) {
  if (dtype.kind !== "structure" || !Array.isArray(state)) form("that is no structure has fields");
  if (state.length !== dtype.fields.length) refuse("3.12", "an array has another number of fields than its dtype");
  const array = keep(new NDArray(dtype.name, [...shape], new Map(), { order: written }));
  dtype.fields.forEach((field, i) => {
    if (!d.leadsTo(state[i], "numpy.array")) form("has a field that is no array");
    const found = d.value(state[i]);
    const isNested = field.dtype.kind === "nested";
    const one = isNested ? field.dtype.base : field.dtype;
    const fits = isSameShape(found.shape, isNested ? [...shape, ...field.dtype.shape] : shape);
    if (!fits || !isSameDtype(found.dtype, one.name)) bad("whose field has another shape or dtype");
    array.data.set(field.name, found);
  });
  return array;
}

const RANGES = new Map([1, 2, 4, 8].flatMap((size) => [
  [`i${size}`, [-(2n ** BigInt(8 * size - 1)), 2n ** BigInt(8 * size - 1) - 1n]],
  [`u${size}`, [0n, 2n ** BigInt(8 * size) - 1n]],
])); // prettier-ignore

function readScalar(state, { d, bad }) {
  const fits = Array.isArray(state) && (state.length === 2 || (state.length === 3 && state[2] === "record"));
  if (!fits) bad("that is not [dtype, value]");
  const [given, value] = state;
  if (state.length === 3 && typeof given === "string" && !given.startsWith("|V")) bad("that is a record, and no structure");
  const made = (dtype, content) => new Scalar(dtype, content, state.length === 3);
  if (given === "U" || given === "S") {
    const found = d.value(value);
    if (given === "U" ? typeof found !== "string" : !(found instanceof Uint8Array)) bad("whose value has another kind");
    return made(given, found);
  }
  const dtype = dtypeOf(given);
  if (dtype.kind === "O") bad("of objects");
  if (typeof value === "string") {
    const bytes = base64(value);
    if (bytes.length !== dtype.size) refuse("3.12", "a scalar has another number of bytes than its dtype");
    const data = elements(dtype, bytes);
    return made(dtype.name, data.length === 1 ? data[0] : data);
  }
  if (d.leadsTo(value, "numpy.array")) {
    const array = d.value(value);
    if (array.shape.length || !isSameDtype(array.dtype, dtype.name)) bad("whose array has axes or another dtype");
    return made(dtype.name, array);
  }
  if (typeof value === "boolean") {
    if (dtype.kind !== "b") bad("whose number is a boolean");
    return made(dtype.name, value);
  }
  if (dtype.big) bad("whose number is not in little-endian order");
  if ("iu".includes(dtype.kind)) {
    const [low, high] = RANGES.get(`${dtype.kind}${dtype.size}`);
    const whole = d.integer(value, bad);
    if (BigInt(whole) < low || BigInt(whole) > high) bad("whose number its dtype cannot have");
    return made(dtype.name, whole);
  }
  if (dtype.kind !== "f") bad("whose number has another kind");
  return made(dtype.name, d.real(value, bad));
}

/** An object of a state that has exactly these fields. */
function fieldsOf(state, names, bad) {
  if (!(state instanceof Map) || kindOf(state) !== "object") bad("whose state is not an object");
  const found = new Map(entriesOf(state));
  if (found.size !== names.length || !names.every((name) => found.has(name))) bad(`without exactly ${names.join(", ")}`);
  return found;
}

const arrayOr = (tree, d, bad, none = false) => {
  if (none && tree === null) return null;
  if (!d.leadsTo(tree, "numpy.array")) bad("with something else than an array");
  return d.value(tree);
};

/** The dtype of a mask, and its size: a boolean for each field of a structure, without gaps. */
function maskOf(dtype) {
  if (dtype.base !== undefined) {
    const { dtype: base, size } = maskOf(dtype.base);
    return { dtype: { base, shape: dtype.shape }, size: dtype.shape.reduce((all, each) => all * each, size) };
  }
  if (dtype.names === undefined) return { dtype: "|b1", size: 1 };
  const fields = dtype.formats.map(maskOf);
  let size = 0;
  const offsets = fields.map((field) => (size += field.size) - field.size);
  return { dtype: { names: dtype.names, formats: fields.map((field) => field.dtype), offsets, itemsize: size }, size };
}

function readMasked(state, { d, keep, bad, name }) {
  const object = keep(new PyObject(name, null, new Map()));
  const fields = fieldsOf(state, ["data", "mask", "fill_value", "hard"], bad);
  if (typeof fields.get("hard") !== "boolean") bad("whose `hard` is not a boolean");
  object.content.set("data", arrayOr(fields.get("data"), d, bad));
  object.content.set("mask", arrayOr(fields.get("mask"), d, bad, true));
  const [data, mask] = ["data", "mask"].map((key) => object.content.get(key));
  if (mask !== null && !(isSameShape(mask.shape, data.shape) && isSameDtype(mask.dtype, maskOf(data.dtype).dtype))) {
    bad("whose mask is not a boolean for each item of its data");
  }
  const filled = arrayOr(fields.get("fill_value"), d, bad, true);
  if (filled !== null && (filled.shape.length || !isSameDtype(filled.dtype, data.dtype))) {
    bad("whose fill value has axes, or another dtype than its data");
  }
  object.content.set("fill_value", filled);
  object.content.set("hard", fields.get("hard"));
  return object;
}

const IDENTIFIER = /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u;
const shortText = (value, bad) =>
  typeof value === "string" && [...value].length <= 100 ? value : bad("whose variable is not a short text");

/** An array of one axis that holds something. */
function coefficients(tree, d, bad) {
  const found = arrayOr(tree, d, bad);
  const isNumbers = found instanceof NDArray && /^.[biufcO]/.test(found.dtype);
  if (!isNumbers || found.shape.length !== 1 || found.shape[0] < 1) bad("without coefficients");
  return found;
}

function readSeries(state, { d, keep, bad, name }) {
  const object = keep(new PyObject(name, null, new Map()));
  const fields = fieldsOf(state, ["kind", "coef", "domain", "window", "symbol"], bad);
  const kinds = ["Polynomial", "Chebyshev", "Hermite", "HermiteE", "Laguerre", "Legendre"];
  if (!kinds.includes(fields.get("kind"))) bad("of an unknown kind");
  for (const [key, each] of fields) {
    object.content.set(key, key === "kind" || key === "symbol" ? d.value(each) : coefficients(each, d, bad));
  }
  if (["domain", "window"].some((key) => object.content.get(key).shape[0] !== 2)) bad("whose ends are not two numbers");
  if (!IDENTIFIER.test(shortText(fields.get("symbol"), bad))) bad("whose symbol is no identifier");
  return object;
}

const list = (state, length, bad) => {
  if (!Array.isArray(state) || state.length !== length) bad(`that has not ${length} items`);
  return state;
};

function readSubclass(state, { d, bad, name }) {
  const [cls, array] = list(state, 2, bad);
  if (!["matrix", "recarray", "chararray"].includes(cls)) bad("of an unknown class");
  const found = arrayOr(array, d, bad);
  if (cls === "matrix" && found.shape.length !== 2) bad("that is a matrix, and has not two axes");
  if (cls === "chararray" && !/^.[SU]/.test(found.dtype)) bad("that is a chararray, and has no texts");
  return new PyObject(name, cls, found);
}

function readSeeds(state, { d, keep, bad, name }) {
  const object = keep(new PyObject(name, null, new Map()));
  const fields = fieldsOf(state, ["entropy", "spawn_key", "pool_size", "n_children_spawned"], bad);
  for (const [key, each] of fields) object.content.set(key, d.value(each));
  const between = (key, low, high) => {
    const number = d.integer(fields.get(key), bad);
    if (number < low || number > high) bad(`whose \`${key}\` is not from ${low} to ${high}`);
  };
  between("pool_size", 4, 1024);
  between("n_children_spawned", 0, 2 ** 32 - 1);
  if (object.content.get("entropy") !== null) checkSeeds([object.content.get("entropy")], bad);
  const key = object.content.get("spawn_key");
  checkSeeds(Array.isArray(key) || key instanceof NDArray ? [key] : bad("whose `spawn_key` is no sequence"), bad);
  return object;
}

/** Seeds are integers of at most 65,536 bits, or nested sequences of them: 65,536 of all these at most. */
function checkSeeds(waiting, bad) {
  for (let seen = 0; waiting.length; seen += 1) {
    const seed = waiting.pop();
    if (seen >= 1 << 16) bad("whose seeds are too many");
    if (Array.isArray(seed)) waiting.push(...seed.slice(0, 1 << 16));
    else if (!(seed instanceof NDArray ? isSeeds(seed) : isSeed(seed))) bad("whose seeds are no integers");
  }
}

const isSeeds = ({ dtype, data }) => /^.[iu]/.test(dtype) && data.every((each) => each >= 0);
function isSeed(value) {
  if (value instanceof Scalar) return /^.[iu]/.test(value.dtype) && isSeed(value.value);
  if (typeof value === "boolean") return true;
  return (typeof value === "bigint" || Number.isSafeInteger(value) || value === 2 ** 53) && value >= 0 && BigInt(value) < 1n << 65536n;
}

const GENERATORS = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"];

const WORD = 2 ** 32 - 1;
const MORE = { has_uint32: 1, uinteger: WORD };
const PCG = { state: { state: 2n ** 128n - 1n, inc: 2n ** 128n - 1n }, ...MORE };

/** What the state of a generator holds: the highest value of an integer, dtype and length of an array. */
const STATES = {
  MT19937: { state: { key: ["<u4", 624], pos: 624 } },
  PCG64: PCG,
  PCG64DXSM: PCG,
  Philox: { state: { counter: ["<u8", 4], key: ["<u8", 2] }, buffer: ["<u8", 4], buffer_pos: 4, ...MORE },
  SFC64: { state: { state: ["<u8", 4] }, ...MORE },
};

function checkBits(found, form, bad) {
  const names = Object.keys(form);
  if (!(found instanceof Map) || found.size !== names.length || !names.every((name) => found.has(name))) {
    bad(`whose state has not exactly ${names.join(", ")}`);
  }
  for (const name of names) {
    const [item, most] = [found.get(name), form[name]];
    if (Array.isArray(most)) {
      const fits = item instanceof NDArray && item.dtype === most[0] && item.shape.length === 1 && item.shape[0] === most[1];
      if (!fits) bad(`whose \`${name}\` is not ${most[1]} items of ${most[0]}`);
    } else if (typeof most === "object") {
      checkBits(item, most, bad);
    } else {
      const isWhole = typeof item === "bigint" || Number.isSafeInteger(item) || item === 2 ** 53;
      if (!isWhole || item < 0 || item > most) bad(`whose \`${name}\` is not from 0 to ${most}`);
    }
  }
}

function readBits(state, { d, keep, bad, name }) {
  const [cls, inner, seeds] = list(state, 3, bad);
  if (!GENERATORS.includes(cls)) bad("of an unknown class");
  if (!d.leadsTo(inner, "dict")) bad("whose state is not a dict");
  if (seeds !== null && !d.leadsTo(seeds, "numpy.SeedSequence")) bad("whose seeds are of another kind");
  const object = keep(new PyObject(name, cls, new Map()));
  object.content.set("state", d.value(inner)).set("seeds", d.value(seeds));
  const found = new Map(object.content.get("state"));
  if (found.get("bit_generator") !== cls) bad("whose state is that of another class");
  found.delete("bit_generator");
  checkBits(found, STATES[cls], bad);
  return object;
}

function readGenerator(state, { d, bad, name }) {
  if (!d.leadsTo(state, "numpy.BitGenerator")) bad("without a BitGenerator");
  return new PyObject(name, null, d.value(state));
}

function readRandomState(state, { d, bad, name }) {
  const [bits, has, number] = list(state, 3, bad);
  if (!d.leadsTo(bits, "numpy.BitGenerator") || (has !== 0 && has !== 1)) bad("of another form");
  return new PyObject(name, null, [d.value(bits), has, d.float(d.real(number, bad))]);
}

function readMaskedConstant(state, { bad, name }) {
  if (state !== null) bad("with a state");
  return new PyObject(name, null, null);
}

export const NUMPY = {
  "numpy.array": { read: readArray, class: false, mutable: true },
  "numpy.scalar": { read: readScalar, class: false },
  "numpy.dtype": { read: (state, { name }) => new PyObject(name, null, dtypeOf(state).name), class: false },
  "numpy.masked": { read: readMasked, class: false, mutable: true },
  "numpy.masked_constant": { read: readMaskedConstant, class: false },
  "numpy.series": { read: readSeries, class: false },
  "numpy.poly1d": {
    class: false,
    read(state, { d, bad, name }) {
      const [given, variable] = list(state, 2, bad);
      return new PyObject(name, null, [coefficients(given, d, bad), shortText(variable, bad)]);
    },
  },
  "numpy.subclass": { read: readSubclass, class: false, mutable: true },
  "numpy.SeedSequence": { read: readSeeds, class: false },
  "numpy.BitGenerator": { read: readBits, class: false },
  "numpy.Generator": { read: readGenerator, class: false },
  "numpy.RandomState": { read: readRandomState, class: false },
};
