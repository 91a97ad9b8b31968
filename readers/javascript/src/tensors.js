/** Tensors: their bytes, verified before they are used, as typed arrays. */
import { damaged, refuse, shown, tooLarge } from "./errors.js";
import { hex, unhex } from "./hash.js";
import { BLOCK, ITEM, product } from "./pack.js";
import { boxOf, overlap, runs } from "./boxes.js";
import { toFloats } from "./floats.js";

const ARRAYS = new Map([
  ["BOOL", Uint8Array], ["I8", Int8Array], ["U8", Uint8Array], ["F8_E4M3", Uint8Array], ["F8_E5M2", Uint8Array],
  ["I16", Int16Array], ["U16", Uint16Array], ["F16", Uint16Array], ["BF16", Uint16Array], ["I32", Int32Array],
  ["U32", Uint32Array], ["F32", Float32Array], ["I64", BigInt64Array], ["U64", BigUint64Array], ["F64", Float64Array],
]); // prettier-ignore

if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) {
  throw new Error("this reader needs a little-endian machine");
}

/**
 * A tensor in memory: `dtype` as safetensors names it, `shape`, and `data`, a typed array in C order. 16- and 8-bit floats
 * are their bits, in a Uint16Array or Uint8Array; `floats()` converts them.
 */
export class Tensor {
  constructor(dtype, shape, data, name = null) {
    Object.assign(this, { dtype, shape, data, name });
  }

  /** The values as a Float32Array (a Float64Array for F64); integers of 64 bits are rounded to the nearest float. */
  floats() {
    return toFloats(this.dtype, this.data);
  }
}

/** A typed array of a dtype of safetensors over bytes, which are copied only if they are not aligned. */
export function typed(dtype, bytes) {
  const Kind = ARRAYS.get(dtype);
  const own = bytes.byteOffset % Kind.BYTES_PER_ELEMENT ? bytes.slice() : bytes;
  return new Kind(own.buffer, own.byteOffset, own.byteLength / Kind.BYTES_PER_ELEMENT);
}

/** Reads verified bytes of tensors of a pack. `limit` is the most bytes of one tensor or box. */
export class TensorReader {
  constructor(source, blake3, limit) {
    Object.assign(this, { source, blake3, limit });
  }

  /** A tensor, or a box of it: `[[start, stop], …]`. */
  async read(tensor, box, limit = this.limit) {
    const wanted = boxOf(tensor.shape, box);
    const item = ITEM.get(tensor.dtype);
    const length = product(wanted.sizes) * BigInt(item);
    if (length > BigInt(limit)) {
      tooLarge(`${shown(tensor.name)} has ${length} bytes, more than maxBytes (${limit}); read it in boxes, or raise maxBytes`);
    }
    const bytes = new Uint8Array(Number(length));
    for (const shard of tensor.shards) {
      const part = shard.sizes.length ? overlap(shard, wanted) : { offsets: [], sizes: [] };
      if (part) await this.fill(shard, part, wanted, item, bytes);
    }
    if (tensor.dtype === "BOOL" && bytes.some((byte) => byte > 1)) {
      refuse("1.23", `the tensor ${shown(tensor.name)} has a byte of BOOL that is neither 0 nor 1`);
    }
    return new Tensor(tensor.dtype, wanted.sizes, typed(tensor.dtype, bytes), tensor.name);
  }

  async fill(shard, part, wanted, item, bytes) {
    const blocks = new Blocks(this, shard);
    for (const [from, to, count] of runs(part, shard, wanted)) {
      for (let at = from * item, into = to * item, end = at + count * item; at < end; ) {
        const { start, data } = await blocks.at(at);
        const piece = data.subarray(at - start, Math.min(end - start, data.length));
        bytes.set(piece, into);
        at += piece.length;
        into += piece.length;
      }
    }
  }

  /** Reads every byte of a tensor, in blocks, and refuses it if one differs from what was written. */
  async verify(tensor) {
    for (const shard of tensor.shards) {
      const blocks = new Blocks(this, shard);
      for (let at = 0; at === 0 || at < shard.length; ) {
        const { data } = await blocks.at(at);
        if (tensor.dtype === "BOOL" && data.some((byte) => byte > 1)) {
          refuse("1.23", `the tensor ${shown(tensor.name)} has a byte of BOOL that is neither 0 nor 1`);
        }
        at += data.length || 1;
      }
    }
  }
}

/** The blocks of a shard, one at a time, each verified when it is read. A small shard is one block. */
class Blocks {
  constructor(reader, shard) {
    Object.assign(this, { reader, shard, index: -1, current: null, known: false });
  }

  async at(offset) {
    const { shard, reader } = this;
    const size = shard.blocks ? BLOCK : Math.max(shard.length, 1);
    const index = Math.floor(offset / size);
    if (index === this.index) return this.current;
    await this.checkList();
    const start = index * size;
    const end = Math.min(start + size, shard.length);
    const data = await reader.source.read(shard.begin + start, shard.begin + end);
    const expected = shard.blocks ? shard.blocks[index] : shard.hash;
    if (hex(await reader.blake3(data)) !== expected) {
      damaged("1.22", `the tensor ${shown(shard.name)} is damaged between its bytes ${start} and ${end}`);
    }
    this.index = index;
    this.current = { start, data };
    return this.current;
  }

  /** The hash of a large shard is that of the hashes of its blocks. */
  async checkList() {
    if (this.known || !this.shard.blocks) return;
    const joined = unhex(this.shard.blocks.join(""));
    if (hex(await this.reader.blake3(joined)) !== this.shard.hash) {
      damaged("1.22", `the blocks of the tensor ${shown(this.shard.name)} do not have its hash`);
    }
    this.known = true;
  }
}
