/** The values of a part as a tree that opens branch by branch. */
import {
  ByteArray, Complex, DecisionTree, NDArray, PyObject, PySet, Range, Scalar, Tensor, TorchTensor, TrainingLog, Tuple,
} from "../index.js"; // prettier-ignore
import { bars, histogram } from "./charts.js";
import { el, shapeText } from "./elements.js";

const PAGE = 100; // children that are shown at once
const TEXT = 300;

/** An item of the tree for a part; its value is read when it is opened. */
export function treeOf(file, part) {
  return branch(part, "part", async () => [await file.value(part, { arrays: "leave" })], (found) => [["", found[0]]], file);
}

function branch(key, kind, load, children, file) {
  const list = el("ul", {});
  const summary = el("summary", {}, el("bdi", { class: "key" }, key), key ? " " : "", el("span", { class: "kind" }, kind));
  const details = el("details", {}, summary, list);
  let isFilled = false;
  details.addEventListener("toggle", async () => {
    if (!details.open || isFilled) return;
    isFilled = true;
    try {
      fill(list, children(await load()), file);
    } catch (error) {
      list.append(el("li", { role: "alert" }, error.message));
    }
  });
  return el("li", {}, details);
}

function fill(list, entries, file, from = 0) {
  for (const [key, value] of entries.slice(from, from + PAGE)) list.append(item(String(key), value, file));
  if (!entries.length) list.append(el("li", { class: "quiet" }, "empty"));
  const left = entries.length - from - PAGE;
  if (left <= 0) return;
  const button = el("button", { type: "button" }, `Show more of ${left}`);
  const place = el("li", {}, button);
  button.addEventListener("click", () => {
    const next = place.previousElementSibling;
    place.remove();
    fill(list, entries, file, from + PAGE);
    next?.nextElementSibling?.querySelector("summary, button")?.focus();
  });
  list.append(place);
}

function item(key, value, file) {
  const found = inner(value);
  if (found) return branch(key, found.kind, async () => value, found.children, file);
  if (value instanceof NDArray || value instanceof TorchTensor || value instanceof Tensor) return array(key, value, file);
  const name = key ? [el("bdi", { class: "key" }, key), ": "] : [];
  return el("li", {}, el("div", { class: "leaf" }, ...name, el("bdi", { class: "value" }, leafText(value))));
}

/** What a value is, and a function to its children; null if it has none. */
function inner(value) {
  if (value instanceof Map) return { kind: `dict, ${value.size} items`, children: (map) => [...map].map(([key, each]) => [keyText(key), each]) };
  if (value instanceof Tuple) return { kind: `tuple, ${value.length} items`, children: listed };
  if (Array.isArray(value)) return { kind: `list, ${value.length} items`, children: listed };
  if (value instanceof PySet) return { kind: `set, ${value.items.length} items`, children: (set) => listed(set.items) };
  if (value instanceof PyObject && value.content !== null && typeof value.content === "object") {
    const children = (object) => (object.content instanceof Map ? [...object.content].map(([key, each]) => [keyText(key), each]) : [["", object.content]]);
    return { kind: value.class ?? value.codec, children };
  }
  if (value instanceof TrainingLog) {
    return { kind: `training log, ${value.steps.length} rows`, children: (log) => [...log.columns].map(([key, each]) => [key, `${each.values.length} values`]) };
  }
  if (value instanceof DecisionTree) {
    const { nodeCount, maxDepth, features } = value;
    return { kind: `decision tree, ${nodeCount} nodes`, children: () => [["nodes", nodeCount], ["depth", maxDepth], ["features", features]] };
  }
  if (value instanceof TorchTensor && value.pieces) return { kind: value.layout, children: (tensor) => [...tensor.pieces] };
  return null;
}

const listed = (list) => list.map((each, i) => [i, each]);
const keyText = (key) => (typeof key === "string" ? key : leafText(key));

function array(key, value, file) {
  const dtype = typeof value.dtype === "string" ? value.dtype : "structure";
  const kind = `${value instanceof NDArray ? "array" : "tensor"} ${dtype}, ${shapeText(value.shape)}`;
  const chart = async () => {
    const floats = value.data ? value.floats?.() : undefined;
    if (floats) return bars(key || "the array", floats);
    const name = value.tensor ?? value.name;
    const known = file.tensors.find((tensor) => tensor.name === name);
    if (known) return histogram(file, known);
    return el("p", {}, value.data ? preview(value.data) : "its numbers are those of another tensor");
  };
  const list = el("div", {});
  const details = el("details", {}, el("summary", {}, el("bdi", { class: "key" }, key), key ? " " : "", el("span", { class: "kind" }, kind)), list);
  details.addEventListener("toggle", async () => {
    if (details.open && !list.childNodes.length) list.append(await chart());
  });
  return el("li", {}, details);
}

const preview = (data) => Array.from(data.slice?.(0, 50) ?? [], leafText).join(", ");

function leafText(value) {
  if (typeof value === "string") return JSON.stringify(value.length > TEXT ? `${value.slice(0, TEXT)}…` : value);
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (typeof value === "bigint") return value.toString().length > TEXT ? "a very large integer" : value.toString();
  if (typeof value !== "object") return String(value);
  if (value instanceof Complex) return `${value.re} + ${value.im}j`;
  if (value instanceof Range) return `${value.kind}(${[value.start, value.stop, value.step].map(leafText).join(", ")})`;
  if (value instanceof Scalar) return `${leafText(value.value)} (${typeof value.dtype === "string" ? value.dtype : "structure"})`;
  if (value instanceof Uint8Array) return `${value.length} bytes${value instanceof ByteArray ? ", changeable" : ""}`;
  if (value instanceof PyObject) return [value.class ?? value.codec, value.content].filter((each) => each !== null).map(String).join(" ");
  if (Array.isArray(value)) return `(${value.slice(0, 20).map(leafText).join(", ")})`;
  return value.constructor.name;
}
