/**
 * What values of Python and NumPy become. Numbers, strings, booleans and null are themselves; an integer beyond 2⁵³ is a
 * bigint; a list is an Array, a dict a Map, bytes a Uint8Array. Everything else is an instance of a class below: data
 * that one can look at, and nothing that runs.
 */

import { toFloats } from "./floats.js";

/** A list that cannot be changed in Python. */
export class Tuple extends Array {
  static get [Symbol.species]() {
    return Array;
  }
}

/** A set, or a frozenset: its elements, in the order of the file. */
export class PySet {
  constructor(items, frozen = false) {
    Object.assign(this, { items, frozen });
  }

  [Symbol.iterator]() {
    return this.items[Symbol.iterator]();
  }
}

/** Bytes that can be changed in Python. */
export class ByteArray extends Uint8Array {}

/** A float, when floats are kept apart from integers (`exact`). */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

export class Complex {
  constructor(re, im) {
    Object.assign(this, { re, im });
  }
}

/** `range` or `slice`, as `kind` says. */
export class Range {
  constructor(kind, start, stop, step) {
    Object.assign(this, { kind, start, stop, step });
  }
}

/**
 * An object of Python as data. `codec` names its kind, `class` its class (or null), `content` is what it holds: for
 * instances of classes a Map of attributes.
 */
export class PyObject {
  constructor(codec, className, content) {
    Object.assign(this, { codec, class: className, content });
  }

  /** An attribute, where `content` is a Map; undefined if there is none. */
  get(name) {
    return this.content instanceof Map ? this.content.get(name) : undefined;
  }
}

/**
 * An array of NumPy. `dtype` is NumPy's string, or an object for structures; `shape` a list; `data` the elements in C
 * order: a typed array for numbers, dates (BigInt64Array) and booleans, pairs for complex numbers, an Array for objects
 * and texts, and bytes for everything else. `order` is "C", "F", or the axes from the slowest to the fastest in
 * memory. `data` is null, and `tensor` the name to pass to `file.tensor`, for arrays that were not loaded.
 */
export class NDArray {
  constructor(dtype, shape, data, { order = "C", tensor = null, floats = null } = {}) {
    Object.assign(this, { dtype, shape, data, order, tensor });
    Object.defineProperty(this, "_floats", { value: floats });
  }

  /** The number of elements. */
  get size() {
    return this.shape.reduce((all, size) => all * size, 1);
  }

  /** The values as floats; undefined where they are not numbers. */
  floats() {
    return this.data === null ? undefined : this._floats?.(this.data);
  }

  /** Nested Arrays, as `tolist` of NumPy gives them. */
  toNested() {
    const width = this.size ? this.data.length / this.size : 1;
    let at = 0;
    const nest = (axis) => {
      if (axis === this.shape.length) {
        at += width;
        return width === 1 ? this.data[at - 1] : Array.from(this.data.slice(at - width, at));
      }
      return Array.from({ length: this.shape[axis] }, () => nest(axis + 1));
    };
    return nest(0);
  }
}

/** A scalar of NumPy: `dtype` is NumPy's string ("U" and "S" for texts and bytes), `value` what it is. */
export class Scalar {
  constructor(dtype, value, isRecord = false) {
    Object.assign(this, { dtype, value, isRecord });
  }
}

/**
 * A tensor of PyTorch. `dtype` is PyTorch's name, `data` the elements in C order (bits for small floats, pairs for complex
 * numbers), null if it was not loaded. Sparse tensors have `layout`, and their `pieces` by name instead of `data`.
 */
export class TorchTensor {
  constructor(fields) {
    Object.assign(this, fields);
  }

  /** The number of elements. */
  get size() {
    return this.shape.reduce((all, size) => all * size, 1);
  }

  /** The values as floats, pairs for complex numbers; undefined if they were not loaded. */
  floats() {
    return this.data ? toFloats(this._stored.code, this.data) : undefined;
  }
}

/** A decision tree of scikit-learn: typed arrays with an entry for each node, and `value` with `valueShape`. */
export class DecisionTree {
  constructor(fields) {
    Object.assign(this, fields);
  }
}

/** A training log: `steps` and `times` of its rows, `columns` (name → `{ rows, values }`), and its `events`. */
export class TrainingLog {
  constructor(steps, times, columns, events) {
    Object.assign(this, { steps, times, columns, events });
  }
}
