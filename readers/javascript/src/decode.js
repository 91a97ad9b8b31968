/** Layer 3: trees become values. Codecs read the state of a node; nothing here runs what a file names. */
import { SaverError, refuse, shown, tooLarge } from "./errors.js";
import { base64, wideText } from "./bytes.js";
import { entriesOf, floatOf, kindOf } from "./tree.js";
import { Identities } from "./identities.js";
import { Float, PyObject } from "./values.js";
import { CODECS } from "./codecs/index.js";

const DEEP = 1000; // objects within objects, those included that refs lead to

/** Whether a codec is one that this reader has read about: of the page, or of a library of the page's profiles. */
export function isKnown(codec) {
  return CODECS.has(codec) || PROFILE.test(codec);
}

const PROFILE =
  /^(?:catboost|category_encoders|dateutil|equinox|feature_engine|flax|imblearn|jax|keras|lightgbm|onnx|optax|pandas|pyarrow|pytz|scipy|sentencepiece|sklearn|skorch|sktime|statsmodels|tensorflow|tokenizers|torch|torchdata|torchmetrics|transformers|xgboost)\.[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Builds the values of one part. `tensors` maps names to loaded tensors or, for arrays that are left alone, to
 * `{ dtype, shape }` without data.
 */
export class Decoder {
  constructor(file, part, tensors, options, made = new Map()) {
    Object.assign(this, { file, part, tensors, exact: options.exact === true, budget: options.budget, made, depth: 0 });
    this.joined = new Set(); // texts that JavaScript cannot tell from others
    this.open = []; // what is being built: { key, mutable }
  }

  /** A value: what a tree stands for where a value belongs. */
  value(tree) {
    if (typeof tree === "number") return this.number(tree);
    if (tree === null || typeof tree !== "object") return tree;
    const kind = Array.isArray(tree) ? "list" : kindOf(tree);
    if (kind === "node") return this.node(tree);
    if (kind === "ref") return this.ref(tree);
    if (kind === "float") return this.float(floatOf(tree));
    return refuse("2.21", `the part ${shown(this.part)} has ${kind === "list" ? "an array" : `an ${kind}`} where a value belongs`);
  }

  number(tree) {
    return Number.isInteger(tree) && Math.abs(tree) <= 2 ** 53 ? tree : this.float(tree);
  }

  float(number) {
    return this.exact ? new Float(number) : number;
  }

  ref(tree) {
    const part = tree.get("part") ?? this.part;
    const node = this.file.nodeOf(part, tree.get("$ref"));
    if (part === this.part) return this.node(node);
    const home = this.part;
    this.part = part;
    try {
      return this.node(node);
    } finally {
      this.part = home;
    }
  }

  node(node) {
    const key = node.has("id") ? `${this.part}/${node.get("id")}` : null;
    if (key !== null && this.made.has(key)) {
      this.checkCycle(key);
      return this.made.get(key);
    }
    if (this.depth >= DEEP) tooLarge(`objects are nested more than ${DEEP} deep, which this reader does not follow`);
    const name = node.get("$");
    const codec = CODECS.get(name);
    if (!codec && !isKnown(name)) refuse("2.17", `the codec ${shown(name)} is not known`);
    if (codec) this.checkNode(node, codec, name);
    this.open.push({ key, mutable: codec ? codec.mutable === true : true });
    this.depth += 1;
    try {
      const keep = (value) => {
        if (key !== null) this.made.set(key, value);
        return value;
      };
      const state = node.has("state") ? node.get("state") : null;
      const bad = (why, rule = codec?.rule ?? "3.01") => refuse(rule, `the part ${shown(this.part)} has a \`${name}\` ${why}`);
      const value = codec ? codec.read(state, { d: this, node, keep, bad, name }) : this.foreign(node, state, keep);
      return keep(value);
    } finally {
      this.depth -= 1;
      this.open.pop();
    }
  }

  checkNode(node, codec, name) {
    const version = node.get("v") ?? 1;
    if (version !== 1) refuse("2.18", `the version ${version} of \`${name}\` is not known; a newer reader is needed`);
    if (codec.class !== undefined && node.has("class") !== codec.class) {
      refuse("2.20", `a \`${name}\` has ${codec.class ? "no class" : "a class"}`);
    }
  }

  /** An object must be complete before others refer to it, unless one in between can be changed afterwards. */
  checkCycle(key) {
    const from = this.open.findIndex((each) => each.key === key);
    if (from >= 0 && !this.open.slice(from).some((each) => each.mutable)) {
      refuse("2.22", `an object of the part ${shown(this.part)} contains itself, and cannot`);
    }
  }

  /** The node of a codec of another library: its state, with the values in it. */
  foreign(node, state, keep) {
    const object = keep(new PyObject(node.get("$"), node.get("class") ?? null, null));
    object.content = this.any(state);
    return object;
  }

  /** Any JSON of a state: arrays become Arrays, objects Maps, tensors what they hold. */
  any(state) {
    if (Array.isArray(state)) return state.map((each) => this.any(each));
    if (state instanceof Map) {
      const kind = kindOf(state);
      if (kind === "tensor") return this.tensorOf(state);
      if (kind === "object") return new Map(entriesOf(state).map(([key, each]) => [key, this.any(each)]));
    }
    return this.value(state);
  }

  /** The loaded tensor that `{"$tensor": …}` names. */
  tensorOf(state) {
    return this.tensors.get(state.get("$tensor"));
  }

  /** A typed array of a tensor with one axis. */
  column(state, dtype, rule = "3.06") {
    const tensor = state instanceof Map && kindOf(state) === "tensor" ? this.tensorOf(state) : null;
    if (tensor?.dtype !== dtype || tensor.shape.length !== 1) {
      refuse(rule, `the part ${shown(this.part)} has a column that is not a tensor ${dtype} of one axis`);
    }
    return tensor.data;
  }

  /** Bytes: base64, or a tensor U8 with one axis. Refuses what is neither with `bad`. */
  bytes(state, bad) {
    if (typeof state === "string") return base64(state);
    if (!(state instanceof Map) || kindOf(state) !== "tensor") bad("whose bytes are not base64 or a tensor");
    return this.column(state, "U8", "3.04").slice();
  }

  /** A text of bytes. */
  text(bytes) {
    return wideText(bytes, (found) => this.joined.add(found));
  }

  /** The values of a run. */
  run(state, bad, into = []) {
    if (Array.isArray(state)) {
      for (const each of state) into.push(this.value(each));
      return into;
    }
    if (!(state instanceof Map)) bad("whose elements are not a run");
    const [kind, ...more] = [...state.keys()].filter((key) => key !== "$order").sort().reverse();
    const fits = kind === "str" ? more.length === 1 && more[0] === "ends" : !more.length && kind in COLUMNS;
    if (!fits) refuse("3.06", `the part ${shown(this.part)} has a column of another form`);
    if (kind === "str") return this.strings(state, into);
    const data = this.column(state.get(kind), COLUMNS[kind]);
    this.budget.charge(data.length * 8);
    for (const each of data) {
      if (kind === "float") into.push(this.float(each));
      else if (kind === "bool") into.push(each === 1);
      else into.push(each >= -SAFE && each <= SAFE ? Number(each) : each);
    }
    return into;
  }

  strings(state, into) {
    const data = this.column(state.get("str"), "U8");
    const ends = this.column(state.get("ends"), "I64");
    let begin = 0n;
    for (const end of ends) {
      if (end < begin) refuse("3.07", "the ends of a column of strings decrease");
      begin = end;
    }
    if (begin !== BigInt(data.length)) refuse("3.07", "the ends of a column of strings do not fit its bytes");
    this.budget.charge(ends.length * 16 + data.length);
    let at = 0;
    for (const end of ends) {
      into.push(this.text(data.subarray(at, Number(end))));
      at = Number(end);
    }
    return into;
  }

  /** The items of a mapping, into a Map. */
  items(state, bad, into = new Map()) {
    if (state instanceof Map && kindOf(state) === "object") {
      for (const [key, each] of entriesOf(state)) into.set(key, this.value(each));
      return into;
    }
    if (!Array.isArray(state) || state.length !== 2) bad("whose items have another form");
    const fits = (run) => Array.isArray(run) || (run instanceof Map && kindOf(run) === "object");
    if (!state.every(fits)) bad("whose items are not two runs");
    this.open.push({ key: null, mutable: false });
    const keys = this.run(state[0], bad);
    this.open.pop();
    const values = this.run(state[1], bad);
    if (keys.length !== values.length) refuse("3.08", "a mapping has another number of keys than of values");
    const names = this.distinct(keys, bad);
    keys.forEach((key, i) => into.set(names[i], values[i]));
    return into;
  }

  /** Keys, or elements of a set, as JavaScript can have them. Refuses those that are equal, or have no hash in Python. */
  distinct(keys, bad) {
    const identities = new Identities(bad, this.joined);
    const seen = new Set();
    for (const key of keys) {
      const identity = identities.of(key);
      if (seen.has(identity)) this.twice(identities);
      seen.add(identity);
    }
    return keys;
  }

  twice(identities) {
    if (!identities.isSure) tooLarge("keys, or elements of a set, differ in surrogates that JavaScript cannot tell apart");
    refuse("3.09", "a key, or an element of a set, occurs twice");
  }

  /** An object of a state: name → value, in order. */
  attributes(state, bad) {
    if (!(state instanceof Map) || kindOf(state) !== "object") bad("whose attributes are not an object");
    return new Map(entriesOf(state).map(([key, each]) => [key, this.value(each)]));
  }

  /** An integer of Python: a number or a bigint. */
  integer(tree, bad) {
    const value = this.value(tree);
    if (typeof value === "bigint") return value;
    const isFloat = value instanceof Float || (tree instanceof Map && !this.leadsTo(tree, "int"));
    if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > 2 ** 53 || isFloat) {
      bad("with something else than an integer");
    }
    return value;
  }

  /** A float of Python, as a number. */
  real(tree, bad) {
    const value = this.value(tree);
    const isInteger = typeof tree === "number" && Number.isInteger(tree) && Math.abs(tree) <= 2 ** 53;
    const number = value instanceof Float ? value.value : value;
    if (typeof number !== "number" || isInteger) bad("with something else than a float");
    return number;
  }

  /** Whether a tree is a node of that codec, or a ref to one. */
  leadsTo(tree, ...codecs) {
    return codecs.includes(this.nodeOf(tree)?.get("$"));
  }

  /** The node that a tree is, or refers to; null if it is something else. */
  nodeOf(tree) {
    const kind = tree instanceof Map ? kindOf(tree) : "";
    if (kind === "node") return tree;
    return kind === "ref" ? this.file.nodeOf(tree.get("part") ?? this.part, tree.get("$ref")) : null;
  }
}

const COLUMNS = Object.assign(Object.create(null), { float: "F64", int: "I64", bool: "BOOL" });
const SAFE = 2n ** 53n;

/** Counts what a file makes a reader allocate. */
export class Budget {
  constructor(limit) {
    Object.assign(this, { limit, left: limit });
  }

  charge(bytes) {
    this.left -= bytes;
    if (!(this.left >= 0)) tooLarge(`these values need more than ${this.limit} bytes; raise maxBytes if you trust the file`);
  }
}

/** Turns what JavaScript raises for lack of room into an error of this reader. */
export function withinLimits(build) {
  try {
    return build();
  } catch (error) {
    if (error instanceof SaverError || !(error instanceof RangeError)) throw error;
    return tooLarge(`a value is too large, or nested too deep, for JavaScript: ${error.message}`);
  }
}
