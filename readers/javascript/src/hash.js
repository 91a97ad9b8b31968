/** BLAKE3, in plain JavaScript: it needs no WebAssembly, so it runs under any content security policy. */
import { blake3 } from "../vendor/noble-hashes/blake3.js";

const encoder = new TextEncoder();

/** The 256-bit BLAKE3 of bytes. */
export function plainBlake3(bytes) {
  return blake3(bytes);
}

/** 32 bytes as 64 hexadecimal digits. */
export function hex(bytes) {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Bytes of lower-case hexadecimal digits. */
export function unhex(text) {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Whether a value is 64 lower-case hexadecimal digits. */
export function isHash(value) {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

/** The BLAKE3 of a text's UTF-8, as digits. */
export async function hashOf(text, blake3) {
  return hex(await blake3(encoder.encode(text)));
}
