/** The page: a file, read and shown. Texts of the file are only ever text. */
import { open } from "../index.js";
import { curve, histogram } from "./charts.js";
import { el, bytesText, shapeText } from "./elements.js";
import { treeOf } from "./tree.js";

const input = document.getElementById("file");
const drop = document.getElementById("drop");
const status = document.getElementById("status");
const problem = document.getElementById("error");
const content = document.getElementById("content");
let current = null;

input.addEventListener("change", () => input.files.length && show(input.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) show(event.dataTransfer.files[0]);
  });
}

async function show(blob) {
  const mine = (current = Symbol("a file"));
  const isOld = () => current !== mine;
  problem.replaceChildren();
  content.replaceChildren();
  content.hidden = true;
  status.textContent = `Reading ${blob.name} …`;
  try {
    const file = await open(blob, { maxBytes: 2 ** 28, maxHeader: 2 ** 25 });
    const sections = await sectionsOf(file, blob);
    if (isOld()) return;
    content.replaceChildren(...sections);
    content.hidden = false;
    status.textContent = `${blob.name}: the header is whole, and follows the rules of the format.`;
  } catch (error) {
    if (isOld()) return;
    status.textContent = "";
    problem.textContent = `${blob.name} cannot be shown: ${error.message}`;
  }
}

async function sectionsOf(file, blob) {
  const found = [overview(file, blob), parts(file)];
  const logs = [];
  for (const { part, log } of await attempt(() => file.trainingLogs(), [])) logs.push(...logSection(part, log));
  found.push(...logs);
  found.push(await hyperparameters(file));
  found.push(tensors(file), environment(file));
  return found.filter(Boolean);
}

async function attempt(make, otherwise) {
  try {
    return await make();
  } catch (error) {
    problem.append(el("p", {}, error.message));
    return otherwise;
  }
}

function section(title, ...children) {
  const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

function facts(pairs) {
  return el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, el("bdi", {}, value))]));
}

function overview(file, blob) {
  const pairs = [["File", blob.name], ["Size", bytesText(blob.size)]];
  for (const key of ["model", "number", "step", "author", "notes"]) {
    const value = file.manifest.get(key);
    if (typeof value === "string" || typeof value === "number") pairs.push([key[0].toUpperCase() + key.slice(1), String(value)]);
  }
  const moment = new Date(file.time * 1000);
  if (file.time && !Number.isNaN(moment.getTime())) pairs.push(["Saved", moment.toISOString().replace("T", " ").slice(0, 19) + " UTC"]);
  pairs.push(["Tensors", `${file.tensors.length}, ${bytesText(file.tensors.reduce((sum, { bytes }) => sum + bytes, 0))}`]);
  pairs.push(["Hash", file.hash]);
  const result = el("p", { role: "status", "aria-live": "polite" });
  const button = el("button", { type: "button" }, "Verify every byte");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      let last = 0;
      await file.verify({
        progress: (done, total) => {
          if (done - last < total / 10) return;
          last = done;
          result.textContent = `${Math.floor((100 * done) / total)} % verified`;
        },
      });
      result.textContent = "Every byte is what was written: all hashes of tensors and parts hold.";
    } catch (error) {
      result.textContent = error.message;
    }
    button.disabled = false;
  });
  return section("Overview", facts(pairs), el("p", {}, button), result);
}

function parts(file) {
  const list = el("ul", { class: "tree" }, ...file.parts.map((part) => treeOf(file, part)));
  return section("Parts", list);
}

async function hyperparameters(file) {
  const tables = [];
  for (const part of file.parts) {
    const found = await attempt(() => file.hyperparameters(part), new Map());
    for (const [path, values] of found) {
      const rows = [...values].flatMap(([name, value]) => (value instanceof Map ? [...value] : [[name, value]]));
      const body = rows.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, valueText(value))));
      const caption = path ? `${part}, ${path}` : part;
      tables.push(el("details", {}, el("summary", {}, caption), table(["Name", "Value"], body, caption)));
      if (tables.length >= 100) break;
    }
  }
  return tables.length ? section("Hyperparameters", ...tables) : null;
}

function valueText(value) {
  if (Array.isArray(value)) return `[${value.slice(0, 20).map(valueText).join(", ")}]`;
  if (value !== null && typeof value === "object") return value.class ?? value.value?.toString() ?? value.codec ?? value.constructor.name;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function table(heads, rows, label, numeric = []) {
  const head = heads.map((name, i) => el("th", { scope: "col", ...(numeric.includes(i) && { class: "number" }) }, name));
  const made = el("table", { "aria-label": label }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  return el("div", { class: "scroll" }, made);
}

const ROWS = 200;

function tensors(file) {
  const all = file.tensors;
  if (!all.length) return null;
  const rows = all.slice(0, ROWS).map(({ name, dtype, shape, bytes }) => {
    const cell = el("td", {});
    const button = el("button", { type: "button", "aria-label": `Histogram of ${name}` }, "Histogram");
    button.addEventListener("click", async () => {
      button.disabled = true;
      cell.replaceChildren(await histogram(file, { name, dtype, shape }));
    });
    cell.append(button);
    return el("tr", {}, el("td", {}, el("bdi", {}, name)), el("td", {}, dtype), el("td", {}, shapeText(shape)),
      el("td", { class: "number" }, bytesText(bytes)), cell); // prettier-ignore
  });
  const more = all.length > ROWS ? [el("p", { class: "quiet" }, `and ${all.length - ROWS} more`)] : [];
  return section("Tensors", table(["Name", "Dtype", "Shape", "Size", "Values"], rows, "Tensors", [3]), ...more);
}

function environment(file) {
  const flat = [];
  const walk = (value, path) => {
    if (flat.length > 500) return;
    if (value instanceof Map) for (const [key, each] of value) walk(each, path ? `${path}.${key}` : key);
    else if (Array.isArray(value)) flat.push([path, value.slice(0, 50).map(valueText).join(", ")]);
    else flat.push([path, typeof value === "string" ? value : String(value)]);
  };
  walk(file.environment, "");
  return flat.length ? section("Environment", facts(flat)) : null;
}

function logSection(part, log) {
  const names = [...log.columns.keys()];
  if (!names.length) return [];
  const charts = names.slice(0, 40).map((name) => {
    const { rows, values } = log.columns.get(name);
    return curve(name, Array.from(rows, (row) => log.steps[row]), values);
  });
  const events = log.events.slice(0, ROWS).map(({ kind, step, ref }) =>
    el("tr", {}, el("td", {}, String(kind)), el("td", { class: "number" }, String(step)), el("td", {}, String(ref))),
  );
  const list = events.length ? [el("h3", {}, "Events"), table(["Event", "Step", "Version"], events, "Events", [1])] : [];
  return [section(`Training log: ${part}`, ...charts, ...list)];
}
