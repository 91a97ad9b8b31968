/** Hyperparameters of what a part holds: the choices of a person, not what training made of them. */
import { PyObject } from "./values.js";

const MOST = 10000; // objects that are looked at

/** Path → Map of name → value, for estimators of scikit-learn and optimizers of PyTorch. */
export function hyperparametersOf(root) {
  const found = new Map();
  const met = new Set();
  const queue = [[root, ""]];
  for (let i = 0; i < queue.length && i < MOST; i += 1) {
    const [value, path] = queue[i];
    if (value === null || typeof value !== "object" || met.has(value)) continue;
    met.add(value);
    const own = value instanceof PyObject ? parametersOf(value) : null;
    if (own?.size) found.set(path, own);
    for (const [step, each] of childrenOf(value)) queue.push([each, path ? `${path}.${step}` : String(step)]);
  }
  return found;
}

function parametersOf(object) {
  const { codec, content } = object;
  if (!(content instanceof Map)) return null;
  if (codec === "sklearn.estimator") {
    return new Map([...content].filter(([name]) => !name.endsWith("_") && !name.startsWith("_") && name !== "n_features_in_"));
  }
  if (codec === "torch.Optimizer" && Array.isArray(content.get("param_groups"))) {
    const groups = content.get("param_groups").filter((group) => group instanceof Map);
    return new Map(groups.map((group, i) => [`param_groups.${i}`, new Map([...group].filter(([name]) => name !== "params"))]));
  }
  return null;
}

function childrenOf(value) {
  if (ArrayBuffer.isView(value)) return [];
  if (value instanceof Map) return [...value].filter(([key]) => typeof key === "string");
  if (Array.isArray(value)) return value.length > 1000 ? [] : value.map((each, i) => [i, each]);
  return value instanceof PyObject ? childrenOf(value.content ?? []) : [];
}
