/** A .saver file that was opened: its header, manifest and trees are checked; tensors are read when they are wanted. */
import { damaged, refuse, shown, tooLarge, wrongCall } from "./errors.js";
import { hashOf, plainBlake3 } from "./hash.js";
import { byCodeUnits, canonical, parse } from "./json.js";
import { ITEM, product, readPack } from "./pack.js";
import { sourceOf } from "./sources.js";
import { checkSignatures } from "./signatures.js";
import { TensorReader } from "./tensors.js";
import { EXAMPLE, checkTree, kindOf, readManifest } from "./tree.js";
import { Budget, Decoder, isKnown, withinLimits } from "./decode.js";
import { hyperparametersOf } from "./hyperparameters.js";

const ROOM = 2 ** 28; // about how many bytes the JSON of a header may always take in memory
const MOST = 2 ** 30; // bytes that a tensor, or the values of a part, may have, unless the caller says otherwise

/**
 * Opens a .saver file: a path (Node), a URL, a Blob or File, an ArrayBuffer, or bytes. Checks the header against its hash,
 * and everything in it against the rules of the format; raises SaverError otherwise.
 *
 * Options: `maxBytes` (of a tensor or the values of a part; 1 GiB), `maxHeader` (100,000,000), `wholeLimit` (of a download
 * from a server without ranges; 256 MiB), `signal`, `request` (init of fetch) and `fetch`, and `blake3`, a faster function
 * from bytes to their hash, or to a promise of it.
 */
export async function open(from, options = {}) {
  const blake3 = options.blake3 ?? plainBlake3;
  const room = Math.max(options.maxBytes ?? MOST, ROOM);
  const source = await sourceOf(from, options);
  try {
    const pack = await readPack(source, blake3, options.maxHeader, room);
    checkSignatures(pack.metadata.get("saver.signatures"));
    if (!pack.metadata.has("saver.manifest")) {
      refuse("2.01", "the file has no manifest: it is a pack of a store, not a file of its own");
    }
    const manifest = parse(pack.metadata.get("saver.manifest"), { what: "the manifest", room });
    return new SaverFile(source, pack, manifest, readManifest(manifest), blake3, options.maxBytes ?? MOST);
  } catch (error) {
    await source.close();
    throw error;
  }
}

export class SaverFile {
  #source;
  #pack;
  #raw;
  #parts;
  #reader;
  #blake3;
  #limit;
  #nodes = new Map(); // part → id → node

  constructor(source, pack, raw, manifest, blake3, limit) {
    this.#source = source;
    this.#pack = pack;
    this.#raw = raw;
    this.#parts = manifest.parts;
    this.#reader = new TensorReader(source, blake3, limit);
    this.#blake3 = blake3;
    this.#limit = limit;
    this.id = pack.id;
    this.hash = pack.hash;
    this.parts = manifest.names;
    this.whole = manifest.whole;
    this.time = manifest.time;
    this.environment = manifest.environment;
    this.#check();
  }

  /** What else the manifest says: model, number, step, metrics, notes, author … of a version; a Map. */
  get manifest() {
    return this.#raw;
  }

  /** The facts of each tensor of the file: `{ name, dtype, shape, bytes, shards }`. */
  get tensors() {
    return [...this.#pack.tensors.values()].map(({ name, dtype, shape, shards }) => ({
      name, dtype, shape: [...shape], bytes: Number(product(shape)) * ITEM.get(dtype), shards: shards.length,
    })); // prettier-ignore
  }

  /** A tensor, verified. `box` reads a part of it: `[[start, stop], …]`, one for each axis or fewer, null for all. */
  async tensor(name, { box, maxBytes } = {}) {
    return this.#reader.read(this.#known(name), box, maxBytes);
  }

  /**
   * The value of a part (of the only one, if it is not named). Its tensors are loaded and verified; with
   * `arrays: "leave"` those of arrays stay in the file, and the arrays have the name of their tensor. `exact` makes
   * floats instances of Float, so that 1.0 and 1 differ.
   */
  async value(part = this.#only(), { arrays = "load", exact = false, maxBytes = this.#limit } = {}) {
    const root = this.#part(part).get("tree");
    const { load, leave } = this.#wanted(part, root, arrays === "leave");
    const budget = new Budget(4 * maxBytes);
    const tensors = new Map();
    let sum = 0;
    for (const name of load) sum += Number(product(this.#known(name).shape)) * ITEM.get(this.#known(name).dtype);
    if (sum > maxBytes) {
      tooLarge(`the tensors of ${shown(part)} have ${sum} bytes, more than maxBytes (${maxBytes}); use arrays: "leave", or raise maxBytes`);
    }
    for (const name of load) tensors.set(name, await this.#reader.read(this.#known(name), null, maxBytes));
    for (const name of leave) {
      const { dtype, shape } = this.#known(name);
      tensors.set(name, { name, dtype, shape, data: null });
    }
    return withinLimits(() => new Decoder(this.#context(), part, tensors, { exact, budget }).value(root));
  }

  /** The tree of a part, as the file has it: Maps, Arrays, numbers, strings. It is checked, and must not be changed. */
  tree(part = this.#only()) {
    return this.#part(part).get("tree");
  }

  /** The hash that the file gives for a part: equal for parts of equal content. `verify` recomputes it. */
  partHash(part = this.#only()) {
    return this.#part(part).get("hash");
  }

  /** Hyperparameters of the estimators and optimizers in a part: path → Map of name → value. */
  async hyperparameters(part = this.#only()) {
    return hyperparametersOf(await this.value(part, { arrays: "leave" }));
  }

  /** The training logs of the file: `{ part, log }`. */
  async trainingLogs() {
    const found = [];
    for (const part of this.parts) {
      const tree = this.tree(part);
      if (tree instanceof Map && tree.get("$") === "saver.TrainingLog") found.push({ part, log: await this.value(part) });
    }
    return found;
  }

  /**
   * Reads every byte, and recomputes every hash: of blocks and tensors, and, unless `parts` is false, of parts. Raises
   * SaverError if one differs. `progress(done, total)` is called with bytes.
   */
  async verify({ progress, parts = true } = {}) {
    const all = this.tensors;
    const total = all.reduce((sum, { bytes }) => sum + bytes, 0);
    let done = 0;
    for (const { name, bytes } of all) {
      await this.#reader.verify(this.#known(name));
      done += bytes;
      progress?.(done, total);
    }
    for (const [name, part] of parts ? this.#parts : []) {
      if ((await this.#hashOf(part)) !== part.get("hash")) damaged(null, `the part ${shown(name)} does not have its hash`);
    }
  }

  /** Closes what was opened. */
  async close() {
    await this.#source.close();
  }

  async [Symbol.asyncDispose ?? Symbol("dispose")]() {
    await this.close();
  }

  #only() {
    if (this.parts.length !== 1) wrongCall(`the file has ${this.parts.length} parts; name one of ${this.parts.join(", ")}`);
    return this.parts[0];
  }

  #part(name) {
    const part = this.#parts.get(name);
    if (part === undefined) wrongCall(`the file has no part ${shown(name)}, only ${this.parts.join(", ")}`);
    return part;
  }

  #known(name) {
    const tensor = this.#pack.tensors.get(name);
    if (tensor === undefined) wrongCall(`the file has no tensor ${shown(name)}`);
    return tensor;
  }

  /** Checks all trees; nothing is built before. */
  #check() {
    const refs = [];
    const seen = (node) => {
      if (!isKnown(node.get("$"))) refuse("2.17", `the codec ${shown(node.get("$"))} is not known`);
    };
    for (const [name, part] of this.#parts) {
      const nodes = new Map();
      const tensors = new Set();
      const own = [];
      const what = `the part ${shown(name)}`;
      const batches = part.get("batches") ?? new Map();
      for (const tree of [part.get("tree"), ...batches.values()]) checkTree(tree, { what, nodes, refs: own, tensors, seen });
      for (const tensor of tensors) {
        if (!this.#pack.tensors.has(tensor)) refuse("2.11", `${what} names the tensor ${shown(tensor)}, which is not there`);
      }
      for (const batch of batches.keys()) {
        if (!isKnown(batch.slice(batch.lastIndexOf("/") + 1))) refuse("2.23", `${what} has the batch ${shown(batch)} of no codec`);
      }
      this.#nodes.set(name, nodes);
      refs.push(...own.map(({ id, part: other }) => ({ id, part: other ?? name })));
      const root = part.get("tree");
      if (Array.isArray(root) || (root instanceof Map && !rootFits(kindOf(root), name))) {
        refuse("2.21", `${what} is not a value`);
      }
    }
    for (const { id, part } of refs) this.node(part, id);
  }

  /** The node with an id, as the file has it. */
  node(part, id) {
    const node = this.#nodes.get(part)?.get(id);
    if (node === undefined) refuse("2.12", `a reference leads to ${id} of the part ${shown(part)}, which is not there`);
    return node;
  }

  #context() {
    const batches = new Map();
    return {
      nodeOf: (part, id) => this.node(part, id),
      batchOf: (part, name, make) => {
        const key = `${part}\u0000${name}`;
        if (!batches.has(key)) batches.set(key, make(this.#part(part).get("batches")?.get(name)));
        return batches.get(key);
      },
    };
  }

  /** The tensors that a value needs, and those that may stay in the file. Follows references. */
  #wanted(home, root, leaves) {
    const load = new Set();
    const leave = new Set();
    const met = new Set();
    const stack = [[root, home, false]];
    while (stack.length) {
      const [tree, part, isArray] = stack.pop();
      if (tree === null || typeof tree !== "object") continue;
      if (Array.isArray(tree)) {
        for (const each of tree) stack.push([each, part, isArray]);
        continue;
      }
      const kind = kindOf(tree);
      if (kind === "tensor") {
        (leaves && isArray ? leave : load).add(tree.get("$tensor"));
      } else if (kind === "ref") {
        const other = tree.get("part") ?? part;
        stack.push([this.node(other, tree.get("$ref")), other, false]);
      } else if (kind === "node") {
        if (met.has(tree)) continue;
        met.add(tree);
        const codec = tree.get("$");
        stack.push([tree.get("state"), part, ARRAYS.has(codec)]);
        if (codec === "sklearn.tree") stack.push([this.#batch(part, tree), part, false]);
      } else if (kind === "object") {
        for (const [key, each] of tree) if (key !== "$order") stack.push([each, part, isArray]);
      }
    }
    for (const name of load) leave.delete(name);
    return { load, leave };
  }

  #batch(part, node) {
    const state = node.get("state");
    return Array.isArray(state) ? (this.#part(part).get("batches")?.get(state[0]) ?? null) : null;
  }

  /** The hash of a part, from its content and tensors. */
  async #hashOf(part) {
    const held = [part.get("tree"), part.get("batches") ?? new Map()];
    const tensors = new Set();
    for (const tree of [held[0], ...held[1].values()]) checkTree(tree, { what: "a part", nodes: new Map(), refs: [], tensors });
    const facts = [...tensors].sort(byCodeUnits).map((name) => {
      const { dtype, shape, shards } = this.#known(name);
      const cut = shards.map(({ offsets, sizes, hash }) => [offsets, sizes, hash]);
      return [name, dtype, shape, shards.length === 1 ? shards[0].hash : cut];
    });
    const content = await hashOf(canonical(held), this.#blake3);
    return hashOf(canonical([content, facts]), this.#blake3);
  }
}

const ARRAYS = new Set(["numpy.array", "torch.Tensor"]);
const rootFits = (kind, part) => kind === "node" || kind === "float" || kind === "ref" || (kind === "object" && part === EXAMPLE);
