/** What a file holds, as the neutral JSON of tests/conformance/README.md. */
import { hex, plainBlake3 } from "./hash.js";
import { isLone } from "./json.js";
import { base64, isStrict, wideBytes, wideText } from "./bytes.js";
import { NUMPY, dtypeOf, reordered } from "./dtypes.js";
import { entriesOf, kindOf } from "./tree.js";

/** Reads everything in a file, refuses it as a careful reader does, and describes it. */
export async function neutral(file) {
  await file.verify({ parts: false }); // the hash of a part says what is equal, not what is whole
  for (const part of file.parts) await file.value(part, { exact: true });
  const bytes = new Map();
  const tensors = {};
  for (const { name, dtype, shape } of file.tensors) {
    const { data } = await file.tensor(name);
    bytes.set(name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    tensors[name] = { dtype, shape, blake3: hex(plainBlake3(bytes.get(name))) };
  }
  const walk = new Walk(file, bytes, tensors);
  const parts = file.parts.map((name) => [name, file.partHash(name), walk.value(file.tree(name), name)]);
  return { verdict: "valid", whole: file.whole, parts, tensors };
}

class Walk {
  constructor(file, bytes, tensors) {
    Object.assign(this, { file, bytes, tensors, met: new Set() });
  }

  value(tree, part) {
    if (tree === null || typeof tree === "boolean") return tree;
    if (typeof tree === "string") return text(tree);
    if (typeof tree === "number") return number(tree);
    const kind = kindOf(tree);
    if (kind === "float") {
      const given = tree.get("$float");
      return float(Number(given));
    }
    if (kind === "tensor") return { tensor: tree.get("$tensor") };
    if (kind === "ref") {
      const home = tree.get("part") ?? part;
      const name = `${home}/${tree.get("$ref")}`;
      return this.met.has(name) ? { ref: name } : this.value(this.file.node(home, tree.get("$ref")), home);
    }
    if (!tree.has("id")) return this.node(tree, part);
    const name = `${part}/${tree.get("id")}`;
    if (this.met.has(name)) return { ref: name };
    this.met.add(name);
    return { id: name, ...this.node(tree, part) };
  }

  node(tree, part) {
    const codec = tree.get("$");
    const state = tree.get("state") ?? null;
    if (codec === "int") {
      const digits = typeof state === "string" ? state : new TextDecoder("latin1").decode(this.raw(state));
      const size = BigInt(`0x${digits.replace("-", "")}`);
      return { int: String(digits.startsWith("-") ? -size : size) };
    }
    if (codec === "float") return { float: state };
    if (codec === "complex") return { complex: state.map((each) => this.value(each, part).float) };
    if (codec === "str") return { str: hex(this.raw(state)) };
    if (codec === "bytes" || codec === "bytearray") return { [codec]: hex(this.raw(state)) };
    if (["list", "tuple", "set", "frozenset"].includes(codec)) return { [codec]: this.run(state, part) };
    if (codec === "dict") return { dict: this.items(state, part) };
    if (codec === "range" || codec === "slice") return { [codec]: state.map((each) => this.value(each, part)) };
    if (codec === "singleton") return { singleton: state };
    if (codec === "numpy.array" && (state.has("$tensor") || (state.has("data") && typeof state.get("dtype") === "string"))) {
      return { array: this.array(state) };
    }
    return { node: codec, class: tree.get("class") ?? null, v: tree.get("v") ?? 1, state: this.state(state, part) };
  }

  state(state, part) {
    if (Array.isArray(state)) return { items: state.map((each) => this.state(each, part)) };
    if (!(state instanceof Map) || kindOf(state) !== "object") return this.value(state, part);
    return { object: entriesOf(state).map(([key, each]) => [text(key), this.state(each, part)]) };
  }

  raw(state) {
    return typeof state === "string" ? base64(state) : this.bytes.get(state.get("$tensor"));
  }

  column(state, Kind) {
    const bytes = this.raw(state).slice();
    return new Kind(bytes.buffer);
  }

  run(state, part) {
    if (Array.isArray(state)) return state.map((each) => this.value(each, part));
    if (state.has("str")) {
      const data = this.raw(state.get("str"));
      let begin = 0;
      return Array.from(this.column(state.get("ends"), BigInt64Array), (end) => {
        const piece = data.subarray(begin, Number(end));
        begin = Number(end);
        return isStrict(piece) ? wideText(piece) : { str: hex(piece) }; // two surrogates may look like a character
      });
    }
    if (state.has("bool")) return Array.from(this.raw(state.get("bool")), (byte) => byte === 1);
    if (state.has("float")) return Array.from(this.column(state.get("float"), Float64Array), float);
    return Array.from(this.column(state.get("int"), BigInt64Array), (each) => ({ int: String(each) }));
  }

  items(state, part) {
    if (state instanceof Map) return entriesOf(state).map(([key, each]) => [text(key), this.value(each, part)]);
    const [keys, values] = state.map((run) => this.run(run, part));
    return keys.map((key, i) => [key, values[i]]);
  }

  array(state) {
    if (state.has("$tensor")) {
      const { dtype, shape } = this.tensors[state.get("$tensor")];
      return { dtype: NUMPY.get(dtype), shape, hex: hex(this.raw(state)) };
    }
    const shape = state.get("shape");
    const given = state.get("order") ?? "C";
    const axes = shape.map((_, axis) => axis);
    const order = given === "F" ? axes.reverse() : given === "C" ? axes : given;
    const moved = reordered(this.raw(state.get("data")), dtypeOf(state.get("dtype")).size, shape, order);
    return { dtype: state.get("dtype"), shape: moved.shape, hex: hex(moved.bytes) };
  }
}

function number(value) {
  return Number.isInteger(value) && Math.abs(value) <= 2 ** 53 ? { int: String(value) } : float(value);
}

function float(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return { float: view.getBigUint64(0).toString(16).padStart(16, "0") };
}

function text(value) {
  return isLone(value) ? { str: hex(wideBytes(value)) } : value;
}
