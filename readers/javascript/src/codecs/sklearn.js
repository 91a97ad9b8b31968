/** Decision trees of scikit-learn, whose nodes lie in one batch for all trees of a part. */
import { entriesOf, kindOf } from "../tree.js";
import { DecisionTree } from "../values.js";

const NODES = {
  left_child: "I32", right_child: "I32", feature: "I32", threshold: "F64", impurity: "F64", n_node_samples: "I32",
  weighted_n_node_samples: "F64", missing_go_to_left: "U8",
}; // prettier-ignore
const WIDE = new Set(["left_child", "right_child", "feature", "n_node_samples"]);

function readTree(state, { d, bad }) {
  if (!Array.isArray(state) || state.length !== 2 || typeof state[0] !== "string" || !Number.isInteger(state[1])) {
    bad("that is not [batch, number]");
  }
  const trees = d.file.batchOf(d.part, state[0], (batch) => treesOf(batch, d, bad));
  if (state[1] < 0 || state[1] >= trees.length) bad("that is not in its batch");
  return new DecisionTree({ ...trees[state[1]] });
}

function treesOf(batch, d, bad) {
  if (!(batch instanceof Map) || kindOf(batch) !== "object") bad("whose batch has another form");
  const array = (tree, dtype, axes) => {
    const found = tree instanceof Map && kindOf(tree) === "tensor" ? d.tensorOf(tree) : null;
    if (found === null || (dtype !== null && found.dtype !== dtype) || found.shape.length !== axes) {
      bad("whose batch has a tensor of another form", "4.08");
    }
    return found;
  };
  const nodes = batch.get("nodes");
  if (!(nodes instanceof Map)) bad("whose batch has no nodes");
  if (entriesOf(nodes).some(([name]) => !Object.hasOwn(NODES, name))) bad("whose nodes have an unknown field", "4.08");
  const columns = {};
  for (const [name, dtype] of Object.entries(NODES)) {
    if (name === "missing_go_to_left" && !nodes.has(name)) continue; // older versions of scikit-learn
    const wide = WIDE.has(name) && nodes.get(name) instanceof Map && d.tensorOf(nodes.get(name))?.dtype === "I64";
    const found = array(nodes.get(name), wide ? "I64" : dtype, 1).data;
    columns[name] = wide ? Float64Array.from(found, Number) : found;
  }
  const values = array(batch.get("values"), "F64", 1).data;
  const table = array(batch.get("trees"), "I64", 2);
  const classes = Array.from(array(batch.get("classes"), "I64", 1).data, Number);
  if (table.shape[1] !== 4) bad("whose batch has a table of another form", "4.08");
  return cut(columns, values, Array.from(table.data, Number), classes, bad);
}

/** One tree for each row of the table: nodes, greatest depth, features, outputs. */
function cut(columns, values, table, classes, bad) {
  const trees = [];
  const checks = [];
  let [node, value, output] = [0, 0, 0];
  for (let at = 0; at < table.length; at += 4) {
    const [count, maxDepth, features, outputs] = table.slice(at, at + 4);
    if (count < 0 || outputs < 1 || output + outputs > classes.length) bad("of an impossible size", "4.08");
    const own = classes.slice(output, output + outputs);
    if (own.some((each) => each < 1)) bad("with an impossible number of classes", "4.08");
    const width = Math.max(...own);
    const shape = [count, outputs, width];
    const size = count * outputs * width;
    const part = {};
    for (const [name, column] of Object.entries(columns)) part[name] = column.subarray(node, node + count);
    if (part.feature.length !== count || value + size > values.length) bad("with too few nodes or values", "4.08");
    checks.push(() => checkNodes(part, count, features, maxDepth, bad));
    trees.push({ nodeCount: count, maxDepth, features, outputs, classes: own, ...camel(part), valueShape: shape,
      value: values.subarray(value, value + size) }); // prettier-ignore
    node += count;
    value += size;
    output += outputs;
  }
  const lengths = Object.values(columns).map((column) => column.length);
  if (lengths.some((length) => length !== node)) bad("whose nodes have fields of several lengths", "4.08");
  if (value !== values.length || output !== classes.length || node !== columns.feature.length) bad("whose batch has more than its trees", "4.08");
  for (const check of checks) check();
  return trees;
}

/** Children lie behind their parent, so that a walk down a tree ends; no node has two parents, and the depth is at least the real one. */
function checkNodes({ left_child: left, right_child: right, feature }, count, features, maxDepth, bad) {
  const level = new Int32Array(count);
  const isChild = new Uint8Array(count);
  const isReached = new Uint8Array(count).fill(1, 0, 1);
  let deepest = 0;
  for (let i = 0; i < count; i += 1) {
    if (left[i] === -1 && right[i] === -1) continue;
    const fits = left[i] > i && left[i] < count && right[i] > i && right[i] < count && left[i] !== right[i];
    if (!fits || feature[i] < 0 || feature[i] >= features) bad("with a node whose children or feature are not there", "4.07");
    for (const child of [left[i], right[i]]) {
      if (isChild[child]) bad("with a node that has two parents", "4.07");
      isChild[child] = 1;
      isReached[child] = isReached[i];
      level[child] = level[i] + 1;
      if (isReached[i] && level[child] > deepest) deepest = level[child];
    }
  }
  if (count < 1 || maxDepth < deepest || maxDepth > count) bad("of another depth than it declares", "4.07");
}

const camel = (part) =>
  Object.fromEntries(Object.entries(part).map(([name, each]) => [name.replace(/_([a-z])/g, (_, x) => x.toUpperCase()), each]));

export const SKLEARN = { "sklearn.tree": { read: readTree, class: false, rule: "4.01" } };
