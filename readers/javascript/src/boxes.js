/** Boxes: ranges along each axis of a tensor. */
import { refuse, shown, wrongCall } from "./errors.js";

const MOST_CUT = 5;

/**
 * Refuses boxes that do not tile a shape, in the order of their offsets. Boxes tile exactly if their corners cancel out
 * to those of the shape, so this takes time in proportion to their number.
 */
export function checkTiling(name, shape, shards) {
  const bad = (what) => refuse("1.26", `the shards of ${shown(name)} ${what}`);
  if (shape.length > 64 || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) bad("have no possible shape");
  for (const { offsets, sizes } of shards) {
    const fits =
      offsets.length === shape.length && sizes.length === shape.length &&
      offsets.every((offset, i) => offset >= 0 && offset + sizes[i] <= shape[i]); // prettier-ignore
    if (!fits) bad("are not within it");
    if (shards.length > 1 && sizes.includes(0)) bad("include an empty one");
  }
  const cut = shape.map((_, i) => i).filter((i) => shards.some(({ sizes }) => sizes[i] !== shape[i]));
  if (cut.length > MOST_CUT) bad(`are cut along ${cut.length} axes, more than ${MOST_CUT}`);
  for (let i = 1; i < shards.length; i += 1) {
    if (compare(shards[i - 1].offsets, shards[i].offsets) >= 0) bad("are not in the order of their offsets");
  }
  const corners = new Map();
  const count = (offsets, sizes, sign) => {
    for (let mask = 0; mask < 1 << cut.length; mask += 1) {
      let parity = sign;
      const at = cut.map((axis, bit) => {
        if (!((mask >> bit) & 1)) return offsets[axis];
        parity = -parity;
        return offsets[axis] + sizes[axis];
      });
      const key = at.join();
      const sum = (corners.get(key) ?? 0) + parity;
      if (sum) corners.set(key, sum);
      else corners.delete(key);
    }
  };
  for (const { offsets, sizes } of shards) count(offsets, sizes, 1);
  count(shape.map(() => 0), shape, -1); // prettier-ignore
  if (corners.size) bad("leave a gap, or overlap");
}

function compare(a, b) {
  for (let i = 0; i < a.length; i += 1) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return 0;
}

/**
 * Offsets and sizes of what a caller wants of a tensor: `[[start, stop], …]`, one pair for each axis; a missing pair, or
 * null, is the whole axis.
 */
export function boxOf(shape, box) {
  const offsets = shape.map(() => 0);
  const sizes = [...shape];
  if (box === undefined || box === null) return { offsets, sizes };
  if (!Array.isArray(box) || box.length > shape.length) {
    wrongCall(`a box of a tensor with ${shape.length} axes is a list of at most as many [start, stop]`);
  }
  box.forEach((range, axis) => {
    if (range === null || range === undefined) return;
    const [start, stop] = Array.isArray(range) ? range : [];
    if (!Number.isInteger(start) || !Number.isInteger(stop) || start < 0 || stop < start || stop > shape[axis]) {
      wrongCall(`the axis ${axis} has ${shape[axis]} elements: [start, stop] must be integers within them`);
    }
    offsets[axis] = start;
    sizes[axis] = stop - start;
  });
  return { offsets, sizes };
}

/** The box that two have in common, or null. */
export function overlap(a, b) {
  const offsets = [];
  const sizes = [];
  for (let i = 0; i < a.offsets.length; i += 1) {
    const from = Math.max(a.offsets[i], b.offsets[i]);
    const to = Math.min(a.offsets[i] + a.sizes[i], b.offsets[i] + b.sizes[i]);
    if (to <= from) return null;
    offsets.push(from);
    sizes.push(to - from);
  }
  return { offsets, sizes };
}

/** Steps in C order: by how many items an axis advances. */
export function steps(shape) {
  const found = new Array(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i -= 1) {
    found[i] = step;
    step *= Math.max(shape[i], 1);
  }
  return found;
}

/**
 * The runs of memory that a box has in common between two arrays in C order, in ascending order: yields
 * `[from, to, count]` in items. `source` and `target` are boxes that contain `box`.
 */
export function* runs(box, source, target) {
  const n = box.sizes.length;
  let inner = n; // the axes from here on are one run in both
  let count = 1;
  while (inner > 0) {
    inner -= 1;
    count *= box.sizes[inner];
    if (box.sizes[inner] !== source.sizes[inner] || box.sizes[inner] !== target.sizes[inner]) break;
  }
  if (!count || box.sizes.includes(0)) return;
  const stepsFrom = steps(source.sizes);
  const stepsTo = steps(target.sizes);
  const index = new Array(inner).fill(0);
  let from = 0;
  let to = 0;
  for (let i = 0; i < n; i += 1) {
    from += (box.offsets[i] - source.offsets[i]) * stepsFrom[i];
    to += (box.offsets[i] - target.offsets[i]) * stepsTo[i];
  }
  for (;;) {
    yield [from, to, count];
    let axis = inner - 1;
    for (; axis >= 0; axis -= 1) {
      index[axis] += 1;
      from += stepsFrom[axis];
      to += stepsTo[axis];
      if (index[axis] < box.sizes[axis]) break;
      index[axis] = 0;
      from -= stepsFrom[axis] * box.sizes[axis];
      to -= stepsTo[axis] * box.sizes[axis];
    }
    if (axis < 0) return;
  }
}
