/** Histograms and curves, as SVG with their numbers in words. */
import { el, numberText, svg } from "./elements.js";

const BINS = 40;
const MOST = 2 ** 20; // values of a tensor that a histogram looks at
const [WIDE, HIGH, LEFT, BELOW] = [560, 180, 80, 24];

/** A histogram of a tensor's first million values, read and verified now. */
export async function histogram(file, { name, dtype, shape }) {
  try {
    const row = shape.slice(1).reduce((all, size) => all * size, 1);
    const rows = shape.length ? Math.min(shape[0], Math.max(1, Math.floor(MOST / Math.max(row, 1)))) : 0;
    const tensor = await file.tensor(name, shape.length ? { box: [[0, rows]] } : {});
    const all = shape.reduce((product, size) => product * size, 1);
    const part = tensor.data.length < all ? `the first ${tensor.data.length} of ${all} values` : `${all} values`;
    return bars(`${name} (${dtype})`, tensor.floats(), part);
  } catch (error) {
    return el("p", { role: "alert" }, error.message);
  }
}

/** Bars for numbers, with what they say in the caption. */
export function bars(title, values, part = `${values.length} values`) {
  let [low, high, sum, finite] = [Infinity, -Infinity, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
    sum += value;
    finite += 1;
  }
  if (!finite) return el("p", {}, `${part}, none of them finite`);
  const counts = new Array(BINS).fill(0);
  const span = high - low || 1;
  for (const value of values) {
    if (Number.isFinite(value)) counts[Math.min(BINS - 1, Math.floor(((value - low) / span) * BINS))] += 1;
  }
  const most = Math.max(...counts);
  const other = values.length - finite;
  const words = `${part}: ${numberText(low)} to ${numberText(high)}, mean ${numberText(sum / finite)}${other ? `, ${other} not finite` : ""}`;
  const width = (WIDE - LEFT) / BINS;
  const rects = counts.map((count, i) => {
    const height = (count / most) * (HIGH - BELOW);
    return svg("rect", { class: "bar", x: LEFT + i * width, y: HIGH - BELOW - height, width: width - 1, height });
  });
  const labels = [label(LEFT, HIGH - 6, numberText(low), "start"), label(WIDE, HIGH - 6, numberText(high), "end"),
    label(LEFT - 6, 12, String(most), "end")]; // prettier-ignore
  return figure(`Histogram of ${title}`, words, [axes(), ...rects, ...labels]);
}

/** A curve over steps. Points that are not finite leave a gap. */
export function curve(name, steps, values) {
  const points = [];
  const every = Math.max(1, Math.ceil(values.length / 2000));
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  if (low > high) return el("p", {}, `${name}: no finite values`);
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const x = (step) => LEFT + ((step - first) / (last - first || 1)) * (WIDE - LEFT - 8);
  const y = (value) => 8 + (1 - (value - low) / (high - low || 1)) * (HIGH - BELOW - 16);
  let line = [];
  const lines = [line];
  for (let i = 0; i < values.length; i += every) {
    if (Number.isFinite(values[i])) line.push(`${x(steps[i]).toFixed(1)},${y(values[i]).toFixed(1)}`);
    else if (line.length) lines.push((line = []));
  }
  for (const each of lines) {
    if (each.length === 1) points.push(dot(each[0]));
    else points.push(svg("polyline", { class: "curve-0", points: each.join(" ") }));
  }
  const labels = [label(LEFT - 6, 14, numberText(high), "end"), label(LEFT - 6, HIGH - BELOW - 4, numberText(low), "end"),
    label(LEFT, HIGH - 6, `step ${first}`, "start"), label(WIDE - 8, HIGH - 6, `step ${last}`, "end")]; // prettier-ignore
  const end = values[values.length - 1];
  const words = `${name}: ${values.length} values, ${numberText(values[0])} at first, ${numberText(end)} at last, ${numberText(low)} to ${numberText(high)}`;
  return figure(`Curve of ${name}`, words, [axes(), ...points, ...labels]);
}

function dot(at) {
  const [cx, cy] = at.split(",");
  return svg("circle", { class: "bar", cx, cy, r: 3 });
}

function axes() {
  return svg("path", { class: "axis", fill: "none", d: `M${LEFT} 8V${HIGH - BELOW}H${WIDE}` });
}

function label(x, y, text, anchor) {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

function figure(title, words, shapes) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, width: WIDE, height: HIGH, role: "img", "aria-label": `${title}. ${words}` }, ...shapes);
  return el("figure", {}, picture, el("figcaption", {}, el("bdi", {}, words)));
}
