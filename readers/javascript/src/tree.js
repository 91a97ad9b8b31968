/** Layer 2: the manifest, and the form of trees, which is checked whole before anything is made of them. */
import { refuse, shown } from "./errors.js";
import { byCodeUnits } from "./json.js";

const LEVELS = 600;
export const EXAMPLE = "saver/example";
const isObject = (value) => value instanceof Map;
const isStrings = (value) => Array.isArray(value) && value.every((each) => typeof each === "string");
const isNumber = (value) => typeof value === "number" || typeof value === "bigint";
const isInteger = (value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 53;

const isEnvironment = (value) =>
  isObject(value) && (!value.has("packages") || (isObject(value.get("packages")) && isStrings([...value.get("packages").values()])));

const isText = (value) => typeof value === "string";
const isMetrics = (value) => isObject(value) && [...value.values()].every((each) => isNumber(each) || isText(each));
const orNull = (fits) => (value) => value === null || fits(value);

const FIELDS = new Map([
  ["whole", (value) => typeof value === "boolean"], ["time", isNumber], ["environment", isEnvironment],
  ["requires", isStrings], ["grid", isObject], ["metrics", isMetrics], ["notes", isText], ["author", isText],
  ["transaction", isText], ["packs", isStrings], ["data", isObject], ["model", orNull(isText)],
  ["number", orNull(isInteger)], ["parent", orNull(isInteger)], ["step", orNull(isInteger)],
  ["tensors", (value) => isObject(value) && [...value.values()].every(isObject)],
  ["order", (value) => Array.isArray(value) && value.every((at) => isInteger(at) && at >= 0)],
]); // prettier-ignore
const PART = new Map([
  ["hash", (value) => typeof value === "string"], ["version", isInteger], ["batches", isObject], ["packages", isStrings],
  ["document", (value) => typeof value === "string"], ["content", (value) => typeof value === "string"],
]); // prettier-ignore

/** Checks a manifest of a file. Returns `{ whole, names, parts, time, environment }`, the names in their order. */
export function readManifest(manifest) {
  if (!isObject(manifest)) refuse("2.01", "the manifest is not a JSON object");
  const bad = (what) => refuse("2.03", `the manifest: ${what}`);
  if (manifest.get("format") !== 1) {
    refuse("2.02", "the manifest has another format than 1: a newer reader is needed, or it is damaged");
  }
  for (const [field, fits] of FIELDS) {
    if (manifest.has(field) && !fits(manifest.get(field))) bad(`\`${field}\` is not of its kind`);
  }
  const parts = manifest.get("parts");
  if (!isObject(parts)) bad("`parts` is not an object");
  for (const feature of manifest.get("requires") ?? []) {
    if (feature !== "grid") refuse("2.04", `the file requires ${shown(feature)}, which this reader lacks`);
  }
  if (manifest.has("grid")) refuse("2.07", "the manifest of a file has a grid");
  for (const [name, part] of parts) checkPart(name, part);
  const names = [...parts.keys()].filter((name) => name !== EXAMPLE || parts.size === 1).sort(byCodeUnits);
  const whole = manifest.get("whole") ?? false;
  if (!whole && !(names.length === 1 && names[0] === "model")) {
    refuse("2.05", "a manifest that is not `whole` has another part than `model`");
  }
  return {
    whole,
    names: manifest.has("order") ? permuted(names, manifest.get("order"), "2.06") : names,
    parts,
    time: Number(manifest.get("time") ?? 0),
    environment: manifest.get("environment") ?? new Map(),
  };
}

function checkPart(name, part) {
  const bad = (what) => refuse("2.03", `the part ${shown(name)}: ${what}`);
  if (!isObject(part)) bad("it is not an object");
  if (name.includes("/") && name !== EXAMPLE) bad("its name has a /");
  if (!part.has("hash")) bad("it has no `hash`");
  for (const [field, fits] of PART) {
    if (part.has(field) && !fits(part.get(field))) bad(`\`${field}\` is not of its kind`);
  }
  if (!part.has("tree") || part.has("document")) refuse("2.07", `the part ${shown(name)} has no tree of its own`);
}

/** Things in the order that a list of their positions gives. */
function permuted(things, order, rule) {
  const isPlace = (at) => Number.isInteger(at) && at >= 0 && at < things.length;
  const fits = Array.isArray(order) && order.length === things.length && order.every(isPlace);
  if (!fits || new Set(order).size !== things.length) refuse(rule, "an order does not list each key once");
  return order.map((at) => things[at]);
}

/** The entries of an object of a state, in their order. */
export function entriesOf(object) {
  const keys = [...object.keys()].filter((key) => key !== "$order").sort(byCodeUnits);
  const order = object.get("$order");
  return (order === undefined ? keys : permuted(keys, order, "2.14")).map((key) => [key, object.get(key)]);
}

/** What an object of a tree is: "node", "tensor", "ref", "float", or "object", which belongs to the node around it. */
export function kindOf(value) {
  if (value.has("$")) return "node";
  if (value.has("$tensor")) return "tensor";
  if (value.has("$ref")) return "ref";
  if (value.has("$float")) return "float";
  return "object";
}

/**
 * Checks the form of a tree. Adds its nodes with an id to `nodes` (id → node), its refs to `refs`
 * (`{ id, part }`), the names of its tensors to `tensors`, and calls `seen(node)` for each node.
 */
export function checkTree(root, { what, nodes, refs, tensors, seen }) {
  const stack = [[root, 1]];
  while (stack.length) {
    const [value, level] = stack.pop();
    if (typeof value === "bigint") beyond(what, value);
    if (value === null || typeof value !== "object") continue;
    const kind = Array.isArray(value) ? "list" : kindOf(value);
    if (kind === "tensor" || kind === "ref" || kind === "float") {
      checkLeaf(kind, value, what, refs, tensors);
      continue;
    }
    if (level > LEVELS) refuse("2.16", `${what} has more than ${LEVELS} levels of JSON`);
    if (kind === "list") {
      for (let i = value.length - 1; i >= 0; i -= 1) stack.push([value[i], level + 1]);
    } else if (kind === "node") {
      checkNode(value, what);
      seen?.(value);
      if (value.has("id")) {
        const id = value.get("id");
        if (nodes.has(id)) refuse("2.09", `${what} has the id ${id} twice`);
        nodes.set(id, value);
      }
      if (value.has("state")) stack.push([value.get("state"), level + 1]);
    } else {
      for (const key of value.keys()) {
        if (key !== "$order" && /^(?:\$|__array_|__cuda_array_)/.test(key)) {
          refuse("2.15", `${what} has an object with the key ${shown(key)}`);
        }
      }
      for (const [, each] of entriesOf(value)) stack.push([each, level + 1]);
    }
  }
}

function beyond(what, value) {
  refuse("1.08", `${what} has a whole number beyond 2^53: ${shown(value)}`);
}

const NODE = new Set(["$", "class", "v", "id", "state"]);
const NAME = /^[\p{XID_Start}_]\p{XID_Continue}*(?:\.[\p{XID_Start}_]\p{XID_Continue}*)*$/u;

function checkNode(node, what) {
  const bad = (why) => refuse("2.08", `${what} has a node whose ${why}`);
  for (const key of node.keys()) {
    if (!NODE.has(key)) bad(`field ${shown(key)} is not one of a node`);
  }
  if (typeof node.get("$") !== "string") bad("codec is not a string");
  if (node.has("class")) checkClass(node.get("class"), bad);
  if (node.has("v") && !isInteger(node.get("v"))) bad("version is not an integer");
  if (node.has("id") && !(isInteger(node.get("id")) && node.get("id") >= 0)) bad("id is not an integer from 0");
}

function checkClass(name, bad) {
  if (typeof name !== "string") bad("class is not a string");
  const [module, qualname, ...rest] = name.split(":");
  const fits = !rest.length && qualname !== undefined && NAME.test(module) && NAME.test(qualname);
  if (!fits || [...name].length > 500) refuse("2.19", `${shown(name)} is not the name of a class`);
}

function checkLeaf(kind, value, what, refs, tensors) {
  if (kind === "tensor") {
    const name = value.get("$tensor");
    if (value.size !== 1 || typeof name !== "string") refuse("2.10", `${what} has a tensor of another form`);
    tensors.add(name);
  } else if (kind === "ref") {
    const id = value.get("$ref");
    const part = value.get("part");
    const fits = isInteger(id) && value.size === (value.has("part") ? 2 : 1);
    if (!fits || (value.has("part") && typeof part !== "string")) refuse("2.10", `${what} has a ref of another form`);
    refs.push({ id, part });
  } else {
    if (typeof value.get("$float") === "bigint") beyond(what, value.get("$float"));
    if (value.size !== 1) refuse("2.13", `${what} has a float of another form`);
    floatOf(value);
  }
}

/** The number that a `$float` stands for. */
export function floatOf(value) {
  const given = value.get("$float");
  if (isInteger(given) && !Object.is(given, -0)) return given;
  if (given === "-0") return -0;
  if (typeof given === "string" && /^-?[1-9][0-9]{15,20}$/.test(given)) {
    const number = Number(given);
    if (String(number) === given && Math.abs(number) > 2 ** 53 && Math.abs(number) < 1e21) return number;
  }
  return refuse("2.13", `${shown(given)} is not a float of the page`);
}
