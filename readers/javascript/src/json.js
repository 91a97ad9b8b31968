/**
 * JSON as the format has it: no key twice, no NaN, no lone surrogates, numbers that are finite. Objects become Maps, so
 * that no key of a file can meet a prototype. Nothing here recurses: a hostile text costs no stack.
 */
import { refuse, tooLarge } from "./errors.js";

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** Whether a text has half of a surrogate pair alone. */
export function isLone(text) {
  return LONE.test(text);
}

/** The UTF-8 of bytes, as a string. Refuses bytes that are not UTF-8. */
export function utf8(bytes, what) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse("1.06", `${what} is not UTF-8`);
  }
}

/**
 * The value of a JSON text: null, booleans, numbers, strings, Arrays and Maps. A number that is whole and at most 2^53
 * stands for an integer, any other one for a float; whole ones beyond it are bigints. `depth` is the most levels of arrays and objects; more of them break
 * the rule `deep`. A text that is `padded` ends with any number of spaces, and nothing else. `room` is about how many bytes
 * of memory the values may take: a hostile text of empty objects takes 70 times its length.
 */
export function parse(text, { what, depth = 700, deep = "2.16", padded = false, room = 2 ** 30 }) {
  return new Parser(text, what, depth, deep, padded, room).run();
}

const COSTS = { number: 16, bigint: 160, string: 40, boolean: 8, object: 80 };
const MAP = 200;

class Parser {
  constructor(text, what, depth, deep, padded, room) {
    Object.assign(this, { text, what, depth, deep, padded, room, at: 0 });
  }

  run() {
    const stack = []; // the open containers, outermost first: { value, key }
    let top = null;
    for (;;) {
      this.space();
      let value;
      const first = this.text[this.at];
      if (first === "{" || first === "[") {
        if (stack.length >= this.depth) {
          refuse(this.deep, `${this.what} has more than ${this.depth} levels of JSON`);
        }
        this.at += 1;
        top = { value: first === "{" ? new Map() : [], key: null };
        stack.push(top);
        this.space();
        if (this.text[this.at] !== (first === "{" ? "}" : "]")) {
          if (first === "{") this.key(top);
          continue;
        }
      } else {
        value = this.scalar(first);
        if (top === null) return this.end(value);
        this.put(top, value);
        this.space();
      }
      // after a value, or in an empty container
      for (;;) {
        const mark = this.text[this.at];
        const isMap = top.value instanceof Map;
        if (mark === (isMap ? "}" : "]")) {
          this.at += 1;
          const done = stack.pop().value;
          if (!stack.length) return this.end(done);
          top = stack[stack.length - 1];
          this.put(top, done);
          this.space();
        } else if (mark === ",") {
          this.at += 1;
          if (isMap) this.key(top);
          break;
        } else {
          this.bad();
        }
      }
    }
  }

  put(top, value) {
    this.room -= COSTS[typeof value];
    if (value instanceof Map) this.room -= MAP;
    if (this.room < 0) tooLarge(`${this.what} takes too much memory; raise maxBytes if you trust the file`);
    if (top.value instanceof Map) top.value.set(top.key, value);
    else top.value.push(value);
  }

  key(top) {
    this.space();
    if (this.text[this.at] !== '"') this.bad();
    const key = this.string();
    if (top.value.has(key)) refuse("1.07", `${this.what} has a key twice in one object`);
    top.key = key;
    this.space();
    if (this.text[this.at] !== ":") this.bad();
    this.at += 1;
  }

  space() {
    const code = this.text.charCodeAt(this.at);
    if (code !== 32 && code !== 9 && code !== 10 && code !== 13) return;
    SPACE.lastIndex = this.at;
    SPACE.test(this.text);
    this.at = SPACE.lastIndex;
  }

  scalar(first) {
    if (first === '"') return this.string();
    for (const [word, value] of [["null", null], ["true", true], ["false", false]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  string() {
    PLAIN.lastIndex = this.at + 1;
    PLAIN.test(this.text);
    let value;
    if (this.text[PLAIN.lastIndex] === '"') {
      value = this.text.slice(this.at + 1, PLAIN.lastIndex);
      this.at = PLAIN.lastIndex + 1;
      return value; // a text from UTF-8 has no lone surrogates of its own
    }
    const end = this.closing(PLAIN.lastIndex);
    const token = this.text.slice(this.at, end);
    try {
      value = JSON.parse(token);
    } catch {
      this.bad();
    }
    if (isLone(value)) refuse("1.06", `a string in ${this.what} has a lone surrogate`);
    this.at = end;
    return value;
  }

  /** Where a string with escapes ends, after its closing quote. */
  closing(from) {
    let at = from;
    for (;;) {
      const code = this.text.charCodeAt(at);
      if (code === 34) return at + 1;
      if (code === 92) at += 2;
      else if (code >= 32) at += 1;
      else this.bad(); // a control character, or the end of the text (NaN)
    }
  }

  number() {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (found === null) this.bad();
    const [token] = found;
    const value = Number(token);
    const short = token.slice(0, 40);
    if (!Number.isFinite(value)) refuse("1.08", `a number in ${this.what} is beyond binary64: ${short}`);
    const digits = !/[.eE]/.test(token);
    if (digits && (Math.abs(value) > 2 ** 53 || (token.length > 15 && BigInt(token) !== BigInt(value)))) {
      this.at = NUMBER.lastIndex;
      return BigInt(token); // which trees must not have; at most 309 digits, as it is finite
    }
    if (Object.is(value, -0) || (!digits && Number.isInteger(value) && Math.abs(value) < 1e21)) {
      refuse("1.08", `${this.what} has a whole number that is written as ${short}`);
    }
    this.at = NUMBER.lastIndex;
    return value;
  }

  end(value) {
    if (this.padded) {
      const rest = this.text.slice(this.at);
      if (/[^ ]/.test(rest)) {
        refuse(/[^\0\t\n\r ]/.test(rest) ? "1.06" : "1.09", `${this.what} is followed by other bytes than spaces`);
      }
      return value;
    }
    this.space();
    if (this.at !== this.text.length) this.bad();
    return value;
  }

  bad() {
    refuse("1.06", `${this.what} is not JSON: an unexpected character at ${this.at}`);
  }
}

/** Pieces of the canonical JSON (RFC 8785) of a value of `parse`, without recursion. */
export function canonical(root) {
  const pieces = [];
  const stack = [root];
  while (stack.length) {
    const value = stack.pop();
    if (value instanceof Piece) {
      pieces.push(value.text);
    } else if (Array.isArray(value)) {
      stack.push(CLOSE_LIST);
      for (let i = value.length - 1; i >= 0; i -= 1) {
        stack.push(value[i]);
        if (i) stack.push(COMMA);
      }
      pieces.push("[");
    } else if (value instanceof Map) {
      const keys = [...value.keys()].sort(byCodeUnits);
      stack.push(CLOSE_MAP);
      for (let i = keys.length - 1; i >= 0; i -= 1) {
        stack.push(value.get(keys[i]), new Piece(`${i ? "," : ""}${JSON.stringify(keys[i])}:`));
      }
      pieces.push("{");
    } else {
      pieces.push(Object.is(value, -0) ? "0" : JSON.stringify(value));
    }
  }
  return pieces.join("");
}

/** The order of RFC 8785: by UTF-16 code units, as JavaScript compares strings. */
export function byCodeUnits(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

class Piece {
  constructor(text) {
    this.text = text;
  }
}
const COMMA = new Piece(",");
const CLOSE_LIST = new Piece("]");
const CLOSE_MAP = new Piece("}");
