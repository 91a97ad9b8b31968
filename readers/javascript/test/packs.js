/** Packs put together by hand, for tests. */
import { hex, plainBlake3 } from "../src/hash.js";

const PREFIX = '{"__metadata__":{"saver.header":"';
export const ID = "0123456789abcdef0123456789abcdef";
const encoder = new TextEncoder();

/** Bytes of a file with a tree and tensors `[name, dtype, shape, bytes]`; `change` may alter its pieces before it is hashed. */
export function pack(tree, tensors = [], change = () => {}) {
  const slots = {};
  let end = 0;
  for (const [name, dtype, shape, data] of tensors) {
    slots[name] = { dtype, shape, data_offsets: [end, (end += data.length)] };
  }
  const blocks = {};
  const hashes = tensors.map(([name, , , data]) => {
    if (data.length < 2 ** 23) return hex(plainBlake3(data));
    const found = [];
    for (let at = 0; at < data.length; at += 2 ** 22) found.push(plainBlake3(data.subarray(at, at + 2 ** 22)));
    blocks[name] = found.map(hex);
    return hex(plainBlake3(Uint8Array.from(found.flatMap((each) => [...each]))));
  });
  const pieces = {
    own: { format: 1, id: ID, hashes, blocks },
    manifest: { format: 1, parts: { model: { hash: "0".repeat(64), tree } } },
    slots,
  };
  change(pieces);
  const metadata = { saver: JSON.stringify(pieces.own), "saver.manifest": pieces.text ?? JSON.stringify(pieces.manifest) };
  const rest = JSON.stringify({ __metadata__: metadata, ...pieces.slots }).slice('{"__metadata__":{'.length);
  const json = encoder.encode(`${PREFIX}${"0".repeat(64)}",${rest}`);
  const length = Math.ceil((8 + json.length) / 4096) * 4096;
  const bytes = new Uint8Array(length + tensors.reduce((sum, each) => sum + each[3].length, 0));
  bytes.fill(32, 8, length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length - 8), true);
  bytes.set(json, 8);
  bytes.set(encoder.encode(hex(plainBlake3(bytes.subarray(0, length)))), 41);
  let at = length;
  for (const [, , , data] of tensors) {
    bytes.set(data, at);
    at += data.length;
  }
  return bytes;
}

export const node = (codec, state, more = {}) => ({ $: codec, state, ...more });

/** Bytes of a typed array. */
export const raw = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
