/** For the tests in Python: what `open` and `value` give, said in JSON. Reads a job from its input, writes an answer. */
import { readFileSync } from "node:fs";
import * as reader from "../index.js";
import { hex } from "../src/hash.js";
import { isLone } from "../src/json.js";
import { wideBytes } from "../src/bytes.js";

const { open, predict, predictProba, ...classes } = reader;
const { ByteArray, Complex, Float, NDArray, PyObject, PySet, Range, Scalar, TorchTensor, Tuple } = classes;

function floatOf(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return { float: Number.isNaN(value) ? "nan" : view.getBigUint64(0).toString(16).padStart(16, "0") };
}

const bytesOf = (data) => hex(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));

function shown(value) {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return isLone(value) ? { wide: hex(wideBytes(value)) } : value;
  if (typeof value === "number" || typeof value === "bigint") return { int: String(value) };
  if (value instanceof Float) return floatOf(value.value);
  if (value instanceof Complex) return { complex: [floatOf(value.re), floatOf(value.im)] };
  if (value instanceof ByteArray) return { bytearray: hex(value) };
  if (value instanceof Uint8Array) return { bytes: hex(value) };
  if (value instanceof Tuple) return { tuple: value.map(shown) };
  if (Array.isArray(value)) return { list: value.map(shown) };
  if (value instanceof PySet) return { [value.frozen ? "frozenset" : "set"]: value.items.map(shown) };
  if (value instanceof Map) return { dict: [...value].map(([key, each]) => [shown(key), shown(each)]) };
  if (value instanceof Range) return { [value.kind]: [value.start, value.stop, value.step].map(shown) };
  if (value instanceof NDArray) {
    const data = Array.isArray(value.data) ? value.data.map(shown) : bytesOf(value.data);
    return { array: { dtype: value.dtype, shape: value.shape, data } };
  }
  if (value instanceof TorchTensor) return { torch: { dtype: value.dtype, shape: value.shape, data: bytesOf(value.data) } };
  if (value instanceof Scalar) return { scalar: [value.dtype, String(value.value)] };
  if (value instanceof PyObject) return { object: [value.codec, value.class, shownContent(value.content)] };
  throw new Error(`nothing is known of ${value}`);
}

const shownContent = (content) => (content?.constructor === Object ? shown(new Map(Object.entries(content))) : shown(content));

const JOBS = {
  async values({ path }) {
    const file = await open(path);
    const found = [];
    for (const part of file.parts) found.push([part, shown(await file.value(part, { exact: true }))]);
    await file.close();
    return found;
  },
  async predictions({ path, rows }) {
    const file = await open(path);
    const found = {};
    for (const part of file.parts) {
      const model = await file.value(part);
      found[part] = { labels: predict(model, rows) };
      if (model.get("classes_") !== undefined) found[part].shares = predictProba(model, rows);
    }
    await file.close();
    return found;
  },
  async lazily({ path, name, box }) {
    const file = await open(path);
    const before = process.resourceUsage().maxRSS;
    const value = await file.value("model", { arrays: "leave" });
    const found = await file.tensor(value.tensor ?? name, { box });
    await file.close();
    return { values: Array.from(found.data, Number), grown: (process.resourceUsage().maxRSS - before) * 1024 };
  },
  async log({ path }) {
    const file = await open(path);
    const [{ log }] = await file.trainingLogs();
    const columns = [...log.columns].map(([name, { rows, values }]) => [name, [...rows], [...values]]);
    return { steps: [...log.steps], times: [...log.times], columns, events: log.events };
  },
};

const { job, ...given } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await JOBS[job](given)));
