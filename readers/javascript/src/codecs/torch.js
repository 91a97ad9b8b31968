/** Tensors of PyTorch: dense ones, views of another one, and sparse ones in their pieces. */
import { tooLarge } from "../errors.js";
import { product } from "../pack.js";
import { entriesOf, kindOf } from "../tree.js";
import { typed } from "../tensors.js";
import { TorchTensor } from "../values.js";

const SAME = new Map([
  ["bool", "BOOL"], ["uint8", "U8"], ["int8", "I8"], ["uint16", "U16"], ["int16", "I16"], ["float16", "F16"],
  ["bfloat16", "BF16"], ["uint32", "U32"], ["int32", "I32"], ["float32", "F32"], ["uint64", "U64"], ["int64", "I64"],
  ["float64", "F64"], ["float8_e4m3fn", "F8_E4M3"], ["float8_e5m2", "F8_E5M2"],
]); // prettier-ignore
const NAMES = new Map([...SAME].map(([name, code]) => [code, name]));
const PAIRS = new Map([["complex32", "F16"], ["complex64", "F32"], ["complex128", "F64"]]); // prettier-ignore
const BITS = new Map([
  ["BOOL", 1], ["U8", 1], ["I8", 1], ["F8_E4M3", 1], ["F8_E5M2", 1], ["U16", 2], ["I16", 2], ["F16", 2], ["BF16", 2],
  ["U32", 4], ["I32", 4], ["F32", 4], ["U64", 8], ["I64", 8], ["F64", 8],
]); // prettier-ignore

const isSizes = (value) =>
  Array.isArray(value) && value.length <= 64 && value.every((each) => Number.isSafeInteger(each) && each >= 0);
const bytesOf = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** How the elements of a torch dtype are stored: the dtype of safetensors, and how many of its items an element has. */
function storedAs(name) {
  if (SAME.has(name)) return [SAME.get(name), 1];
  if (PAIRS.has(name)) return [PAIRS.get(name), 2];
  return ["U8", 1]; // dtypes of a byte that safetensors lacks
}

function readTensor(state, context) {
  const { d, keep, bad } = context;
  if (!(state instanceof Map) || kindOf(state) !== "object") bad("of another form");
  const fields = new Map(entriesOf(state));
  const tensor = keep(new TorchTensor({}));
  if (fields.has("layout")) sparse(tensor, fields, context);
  else if (fields.has("base")) view(tensor, fields, context);
  else if (fields.has("data")) dense(tensor, fields, context);
  else return d.foreign(context.node, state, keep); // a tensor of many processes
  tensor.parameter = fields.get("parameter") === true;
  tensor.requiresGrad = (fields.get("requires_grad") ?? tensor.parameter) === true;
  tensor.device = fields.get("device") ?? "cpu";
  for (const flag of ["conj", "neg"]) if (fields.get(flag) === true) tensor[flag] = true;
  if (fields.has("attributes")) tensor.attributes = d.attributes(fields.get("attributes"), bad);
  return tensor;
}

function dense(tensor, fields, { d, bad }) {
  const data = fields.get("data");
  const given = fields.get("dtype");
  if (typeof data === "string") {
    const [code, width] = storedAs(given);
    const size = width * BITS.get(code);
    if (!/^(?:[0-9a-f]{2})*$/.test(data) || typeof given !== "string") bad("whose number is not hexadecimal");
    if (data.length !== 2 * size) bad("of another length than its dtype", "4.02");
    const bytes = Uint8Array.from({ length: size }, (_, i) => parseInt(data.slice(2 * i, 2 * i + 2), 16));
    set(tensor, { dtype: given, code, width, shape: [], data: typed(code, bytes), tensor: null });
    return;
  }
  if (!(data instanceof Map) || kindOf(data) !== "tensor") bad("without data");
  const found = d.tensorOf(data);
  const dtype = given ?? NAMES.get(found.dtype);
  const [code, width] = storedAs(dtype);
  const shape = [...found.shape];
  if (typeof dtype !== "string" || code !== found.dtype || (width === 2 && shape.pop() !== 2)) bad(`whose data are no ${dtype}`, "4.02");
  const strides = fields.get("stride") ?? null;
  if (strides !== null && !isDense(shape, strides)) bad("with strides that are not dense", "4.02");
  set(tensor, { dtype, code, width, shape, data: found.data, tensor: found.name, strides });
}

function set(tensor, fields) {
  const { code, width, strides = null, ...rest } = fields;
  Object.assign(tensor, rest);
  Object.defineProperty(tensor, "_stored", { value: { code, width, strides }, configurable: true });
}

/** Whether strides fill one run of memory, in any order of the axes. */
function isDense(shape, strides) {
  if (!isSizes(strides) || strides.length !== shape.length) return false;
  if (shape.includes(0)) return true;
  let expected = 1;
  const axes = shape.map((_, i) => i).filter((i) => shape[i] !== 1).sort((a, b) => strides[a] - strides[b]);
  return axes.every((axis) => {
    const fits = strides[axis] === expected;
    expected *= shape[axis];
    return fits;
  });
}

/** A tensor over the elements of another one, which lie one after the other where its own memory begins. */
function view(tensor, fields, { d, bad }) {
  const base = d.value(fields.get("base"));
  const [shape, stride, offset, dtype] = ["shape", "stride", "offset", "dtype"].map((key) => fields.get(key));
  if (!(base instanceof TorchTensor && base.shape)) bad("that is a view of something else", "4.03");
  if (typeof dtype !== "string") bad("that is a view without a dtype");
  const fits = isSizes(shape) && isSizes(stride) && isSizes([offset]) && stride.length === shape.length;
  if (!fits || product(shape) >= 2n ** 62n) bad("that is a view of another form", "4.02");
  const [code, width] = storedAs(dtype);
  const size = width * BITS.get(code);
  const count = product(shape);
  const reach = shape.reduce((sum, axis, i) => sum + BigInt(Math.max(axis - 1, 0)) * BigInt(stride[i]), BigInt(offset));
  const whole = base.tensor !== null && base.data === null ? null : memoryOf(base, bad);
  if (whole && count && (reach + 1n) * BigInt(size) > BigInt(whole.length)) bad("that is a view beyond its base", "4.03");
  if (whole === null) {
    set(tensor, { dtype, code, width, shape, data: null, tensor: null });
    return;
  }
  if (count * BigInt(size) > 2n ** 40n) tooLarge("a view of a tensor is too large for this reader");
  d.budget.charge(Number(count) * size);
  const bytes = new Uint8Array(Number(count) * size);
  const index = new Array(shape.length).fill(0);
  let from = offset * size;
  for (let to = 0; to < bytes.length; to += size) {
    for (let i = 0; i < size; i += 1) bytes[to + i] = whole[from + i];
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      index[axis] += 1;
      from += stride[axis] * size;
      if (index[axis] < shape[axis]) break;
      from -= stride[axis] * size * shape[axis];
      index[axis] = 0;
    }
  }
  set(tensor, { dtype, code, width, shape, data: typed(code, bytes), tensor: null });
}

/** The bytes of a tensor as they lie in PyTorch's memory: by its strides. */
function memoryOf(base, bad) {
  if (base.layout !== undefined || !base.data) bad("that is a view of a tensor without memory", "4.03");
  const bytes = bytesOf(base.data);
  const { strides } = base._stored;
  if (!strides || !bytes.length) return bytes;
  const size = base._stored.width * BITS.get(base._stored.code);
  const found = new Uint8Array(bytes.length);
  const index = new Array(base.shape.length).fill(0);
  let to = 0;
  for (let from = 0; from < bytes.length; from += size) {
    for (let i = 0; i < size; i += 1) found[to * size + i] = bytes[from + i];
    for (let axis = base.shape.length - 1; axis >= 0; axis -= 1) {
      index[axis] += 1;
      to += strides[axis];
      if (index[axis] < base.shape[axis]) break;
      to -= strides[axis] * base.shape[axis];
      index[axis] = 0;
    }
  }
  return found;
}

const COMPRESSED = new Map([
  ["sparse_csr", ["crow_indices", "col_indices"]], ["sparse_csc", ["ccol_indices", "row_indices"]],
  ["sparse_bsr", ["crow_indices", "col_indices"]], ["sparse_bsc", ["ccol_indices", "row_indices"]],
  ["sparse_coo", ["indices"]],
]); // prettier-ignore

function sparse(tensor, fields, { d, bad }) {
  const layout = fields.get("layout");
  const names = COMPRESSED.get(layout);
  const shape = fields.get("shape");
  if (!names || !isSizes(shape)) bad("of an unknown layout");
  const pieces = new Map([...names, "values"].map((name) => [name, d.value(fields.get(name) ?? null)]));
  for (const piece of pieces.values()) if (!(piece instanceof TorchTensor)) bad("that does not consist of tensors", "4.04");
  Object.assign(tensor, { layout, shape, pieces, dtype: pieces.get("values").dtype, data: null, tensor: null });
}

export const TORCH = { "torch.Tensor": { read: readTensor, class: false, mutable: true, rule: "4.01" } };
