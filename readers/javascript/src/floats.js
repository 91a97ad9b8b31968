/** Floats of 16 and 8 bits, which JavaScript lacks. */

const SMALL = new Map([
  ["F16", { bits: 16, exponent: 5, mantissa: 10, ieee: true }],
  ["BF16", { bits: 16, exponent: 8, mantissa: 7, ieee: true }],
  ["F8_E5M2", { bits: 8, exponent: 5, mantissa: 2, ieee: true }],
  ["F8_E4M3", { bits: 8, exponent: 4, mantissa: 3, ieee: false }], // no infinities; NaN is all ones
]);
const tables = new Map();

/** The value of each bit pattern of a small float. */
function tableOf(dtype) {
  if (!tables.has(dtype)) {
    const { bits, exponent, mantissa, ieee } = SMALL.get(dtype);
    const bias = 2 ** (exponent - 1) - 1;
    const top = 2 ** exponent - 1;
    const unit = 2 ** mantissa;
    const table = new Float32Array(2 ** bits);
    for (let i = 0; i < table.length; i += 1) {
      const sign = i >> (bits - 1) ? -1 : 1;
      const e = (i >> mantissa) & top;
      const m = i & (unit - 1);
      let value = e === 0 ? (m / unit) * 2 ** (1 - bias) : (1 + m / unit) * 2 ** (e - bias);
      if (e === top && ieee) value = m ? NaN : Infinity;
      else if (e === top && m === unit - 1) value = NaN;
      table[i] = sign * value;
    }
    tables.set(dtype, table);
  }
  return tables.get(dtype);
}

/** Values of a dtype of safetensors as floats. */
export function toFloats(dtype, data) {
  if (dtype === "F64" || dtype === "F32") return data;
  if (SMALL.has(dtype)) {
    const table = tableOf(dtype);
    return Float32Array.from(data, (bits) => table[bits]);
  }
  return Float32Array.from(data, Number);
}
