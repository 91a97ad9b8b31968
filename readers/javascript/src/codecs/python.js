/** Python's own values. */
import { refuse, shown, tooLarge } from "../errors.js";
import { entriesOf, kindOf } from "../tree.js";
import { ByteArray, Complex, PyObject, PySet, Range, Tuple } from "../values.js";

const isObject = (state) => state instanceof Map && kindOf(state) === "object";
const isNone = (state, bad) => (state === null ? null : bad("with a state"));

function textOf(state, { d, bad }) {
  if (typeof state === "string") return state;
  const bytes = d.bytes(state, bad);
  if (bytes.length > 2 ** 28) tooLarge("an integer has too many digits for this reader");
  return new TextDecoder("latin1").decode(bytes);
}

function readInt(state, context) {
  const text = textOf(state, context);
  if (!/^-?[1-9a-f][0-9a-f]*$/.test(text)) refuse("3.02", `${shown(text)} is not an int of the page`);
  const digits = text.replace("-", "");
  const size = BigInt(`0x${digits}`);
  if (size <= 2n ** 53n) refuse("3.02", `the int ${shown(text)} is not beyond 2^53`);
  return text.startsWith("-") ? -size : size;
}

function readFloat(state, { d, bad }) {
  if (typeof state !== "string") bad("that is not a string");
  if (!/^[0-9a-f]{16}$/.test(state)) refuse("3.03", `${shown(state)} is not a float of the page`);
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${state}`));
  const number = view.getFloat64(0);
  if (Number.isFinite(number)) refuse("3.03", `the float ${state} is neither nan nor infinite`);
  return d.float(number);
}

function readSet(frozen) {
  return (state, { d, keep, bad }) => {
    const found = keep(new PySet([], frozen));
    found.items = d.distinct(d.run(state, bad), bad);
    return found;
  };
}

function three(state, bad) {
  if (!Array.isArray(state) || state.length !== 3) bad("that is not [start, stop, step]");
  return state;
}

function readRange(state, { d, bad }) {
  const found = three(state, bad).map((each) => d.integer(each, bad));
  if (Number(found[2]) === 0) bad("with a step of 0");
  return new Range("range", ...found);
}

function readSlice(state, { d, keep, bad }) {
  const found = keep(new Range("slice"));
  [found.start, found.stop, found.step] = three(state, bad).map((each) => d.value(each));
  return found;
}

function readObject(state, { d, node, keep, bad, name }) {
  const object = keep(new PyObject(name, node.get("class"), new Map()));
  if (!isObject(state)) bad("whose attributes are not an object");
  for (const [key, each] of entriesOf(state)) object.content.set(key, d.value(each));
  return object;
}

function readNamedtuple(state, { d, node, keep, bad, name }) {
  const object = keep(new PyObject(name, node.get("class"), new Map()));
  const [fields, attributes] = Array.isArray(state) && state.length === 2 ? state : [state, null];
  object.content = d.attributes(fields, bad);
  if (attributes !== null) object.attributes = d.attributes(attributes, bad);
  return object;
}

function readEnum(state, { d, node, bad, name }) {
  if (typeof state === "string") return new PyObject(name, node.get("class"), state);
  if (!Array.isArray(state) || state.length !== 1) bad("that is neither a name nor a value");
  return new PyObject(name, node.get("class"), [d.value(state[0])]);
}

function readDerived(state, { d, node, keep, bad, name }) {
  if (!Array.isArray(state) || state.length !== 3) bad("that is not [base, content, attributes]");
  const object = keep(new PyObject(name, node.get("class"), null));
  const [base, content, attributes] = state;
  object.base = base;
  if (base === "dict" || base === "OrderedDict") {
    object.content = new Map();
    d.items(content, bad, object.content);
  } else if (base === "list") {
    object.content = [];
    d.run(content, bad, object.content);
  } else if (base === "set") {
    object.content = new PySet(d.distinct(d.run(content, bad), bad));
  } else {
    bad("with another base than dict, OrderedDict, list or set");
  }
  object.attributes = d.attributes(attributes, bad);
  return object;
}

const BASES = new Map([
  ["tuple", (value) => value instanceof Tuple], ["frozenset", (value) => value instanceof PySet && value.frozen],
  ["str", (value) => typeof value === "string"], ["bytes", (value) => value instanceof Uint8Array],
  ["int", (value) => typeof value === "bigint" || Number.isInteger(value)], ["float", () => true],
]); // prettier-ignore

function readDerivedValue(state, { d, node, keep, bad, name }) {
  if (!Array.isArray(state) || state.length !== 3) bad("that is not [base, value, attributes]");
  const object = keep(new PyObject(name, node.get("class"), null));
  const [base, value, attributes] = state;
  if (!BASES.has(base)) bad("with another base than those of the page");
  object.base = base;
  if (base === "float") object.content = d.real(value, bad);
  else object.content = d.value(value);
  if (!BASES.get(base)(object.content)) bad(`whose value is not a ${base}`);
  object.attributes = d.attributes(attributes, bad);
  return object;
}

function readSingleton(state, { bad, name }) {
  if (state !== "Ellipsis" && state !== "NotImplemented") bad("that is neither Ellipsis nor NotImplemented");
  return new PyObject(name, null, state);
}

const named = (state, { node, bad, name }) => new PyObject(name, node.get("class"), isNone(state, bad));

export const PYTHON = {
  int: { read: readInt, class: false },
  float: { read: readFloat, class: false },
  complex: {
    class: false,
    read(state, { d, bad }) {
      if (!Array.isArray(state) || state.length !== 2) bad("that is not [real, imaginary]");
      return new Complex(d.real(state[0], bad), d.real(state[1], bad));
    },
  },
  str: { read: (state, { d, bad }) => d.text(d.bytes(state, bad)), class: false },
  bytes: { read: (state, { d, bad }) => d.bytes(state, bad), class: false },
  bytearray: { read: (state, { d, bad }) => new ByteArray(d.bytes(state, bad)), class: false },
  list: { read: (state, { d, keep, bad }) => d.run(state, bad, keep([])), class: false, mutable: true },
  tuple: { read: (state, { d, keep, bad }) => d.run(state, bad, keep(new Tuple())), class: false },
  dict: { read: (state, { d, keep, bad }) => d.items(state, bad, keep(new Map())), class: false, mutable: true },
  set: { read: readSet(false), class: false, mutable: true },
  frozenset: { read: readSet(true), class: false },
  range: { read: readRange, class: false },
  slice: { read: readSlice, class: false },
  singleton: { read: readSingleton, class: false },
  function: { read: named, class: true },
  class: { read: named, class: true },
  enum: { read: readEnum, class: true },
  namedtuple: { read: readNamedtuple, class: true },
  dataclass: { read: readObject, class: true, mutable: true },
  object: { read: readObject, class: true, mutable: true },
  derived: { read: readDerived, class: true, mutable: true },
  derived_value: { read: readDerivedValue, class: true },
};
