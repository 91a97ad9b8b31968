/** Bytes as texts: base64 and UTF-8 with lone surrogates. */
import { refuse, shown } from "./errors.js";
import { isLone } from "./json.js";

const UNUSED_2 = "AQgw"; // digits whose last 4 bits are zero
const UNUSED_1 = "AEIMQUYcgkosw048"; // and those whose last 2 are

/** The bytes of base64 by RFC 4648, with padding and without unused bits. */
export function base64(text) {
  if (typeof text !== "string" || !isBase64(text)) refuse("3.04", `${shown(text)} is not base64`);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** Without a group that repeats: for one of some million digits a regular expression has no stack. */
function isBase64(text) {
  if (text.length % 4) return false;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const digits = text.slice(0, text.length - padding);
  if (/[^A-Za-z0-9+/]/.test(digits)) return false;
  return !padding || (padding === 2 ? UNUSED_2 : UNUSED_1).includes(digits[digits.length - 1]);
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * The text of UTF-8 in which lone surrogates are encoded as other code points are. `joined` is called with the text if two
 * of them stand where JavaScript sees one character: its strings cannot say which of both Python had.
 */
export function wideText(bytes, joined = () => {}) {
  if (isStrict(bytes)) return strict.decode(bytes);
  const text = surrogates(bytes);
  if (wideBytes(text).length !== bytes.length) joined(text);
  return text;
}

/** Whether bytes are UTF-8, and so of a text without surrogates. */
export function isStrict(bytes) {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** As `wideText`, where strict UTF-8 does not do: surrogates stand between pieces that are UTF-8. */
function surrogates(bytes) {
  const pieces = [];
  let from = 0;
  const flush = (to) => {
    try {
      pieces.push(strict.decode(bytes.subarray(from, to)));
    } catch {
      refuse("3.05", "a text is not UTF-8");
    }
  };
  for (let i = 0; i + 2 < bytes.length; i += 1) {
    if (bytes[i] === 0xed && bytes[i + 1] >= 0xa0 && bytes[i + 1] <= 0xbf && bytes[i + 2] >> 6 === 2) {
      flush(i);
      pieces.push(String.fromCharCode(0xd000 | ((bytes[i + 1] & 0x3f) << 6) | (bytes[i + 2] & 0x3f)));
      from = i + 3;
      i += 2;
    }
  }
  flush(bytes.length);
  return pieces.join("");
}

/** UTF-8 of a text, with lone surrogates as above. */
export function wideBytes(text) {
  if (!isLone(text)) return encoder.encode(text);
  const found = [];
  for (const each of text) {
    const point = each.codePointAt(0);
    if (point >= 0xd800 && point <= 0xdfff) found.push(0xed, 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    else found.push(...encoder.encode(each));
  }
  return Uint8Array.from(found);
}
