/** The training log. */
import { base64 } from "../bytes.js";
import { entriesOf, kindOf } from "../tree.js";
import { typed } from "../tensors.js";
import { TrainingLog } from "../values.js";

function joined(state, dtype, { d, bad }) {
  const pieces = Array.isArray(state) ? state : [state];
  const found = pieces.map((piece) => {
    if (typeof piece === "string") {
      const bytes = base64(piece);
      if (bytes.length % 8) bad("with an array of broken numbers");
      return typed(dtype, bytes);
    }
    return d.column(piece, dtype, "4.01");
  });
  d.budget.charge(16 * found.reduce((sum, each) => sum + each.length, 0));
  const all = new (dtype === "I64" ? BigInt64Array : Float64Array)(found.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const each of found) {
    all.set(each, at);
    at += each.length;
  }
  return all;
}

const whole = (array) => Float64Array.from(array, Number);

function rowsOf(state, length, context) {
  if (Number.isInteger(state)) return Float64Array.from({ length }, (_, i) => state + i);
  return whole(joined(state, "I64", context));
}

function readLog(state, context) {
  const { d, bad } = context;
  if (!(state instanceof Map) || kindOf(state) !== "object") bad("of another form");
  const fields = new Map(entriesOf(state));
  const columns = new Map();
  const steps = whole(joined(fields.get("steps") ?? "", "I64", context));
  const times = joined(fields.get("times") ?? "", "F64", context);
  if (times.length !== steps.length) bad("with another number of times than of steps");
  const found = fields.get("columns");
  if (!(found instanceof Map) || kindOf(found) !== "object") bad("without columns");
  for (const [name, column] of entriesOf(found)) {
    if (!Array.isArray(column) || column.length !== 2) bad("with a column of another form");
    const values = joined(column[1], "F64", context);
    const rows = rowsOf(column[0], values.length, context);
    if (rows.length !== values.length) bad("with a column of another number of rows than values");
    if (!rows.every((row, i) => row >= 0 && row < steps.length && (i === 0 || row > rows[i - 1]))) {
      bad("with a value in a row that is not there");
    }
    columns.set(name.startsWith("\\") ? name.slice(1) : name, { rows, values });
  }
  return new TrainingLog(steps, times, columns, eventsOf(fields.get("events"), d, bad));
}

function eventsOf(state, d, bad) {
  if (state === undefined) return [];
  if (!Array.isArray(state) || state.length !== 4) bad("with events of another form");
  const [kinds, steps, times, refs] = state.map((each) => d.run(each, bad));
  if ([steps, times, refs].some((each) => each.length !== kinds.length)) bad("with events of another form");
  return kinds.map((kind, i) => ({ kind, step: steps[i], time: times[i], ref: refs[i] }));
}

export const SAVER = { "saver.TrainingLog": { read: readLog, class: false, mutable: true, rule: "4.01" } };
