/**
 * Where bytes come from: `{ name, size, read(begin, end), close() }`. `read` gives exactly those bytes or raises; nobody
 * asks for more than the file has.
 */
import { tooLarge, unreadable, wrongCall } from "./errors.js";

const FIRST = 65536; // bytes of a first request over HTTP: the header of most files
const WHOLE = 256 * 2 ** 20; // what is downloaded at most when a server has no ranges

/** The source for whatever a caller passes to `open`. */
export async function sourceOf(from, options = {}) {
  if (from instanceof ArrayBuffer) return new Bytes(new Uint8Array(from));
  if (ArrayBuffer.isView(from)) return new Bytes(new Uint8Array(from.buffer, from.byteOffset, from.byteLength));
  if (typeof Blob !== "undefined" && from instanceof Blob) return new Part(from);
  if (from instanceof URL) return fromURL(from, options);
  if (typeof from === "string") {
    const isAddress = /^(?:https?|file|blob|data):/i.test(from);
    const inPage = typeof process === "undefined" || !process.versions?.node;
    if (isAddress || inPage) return fromURL(new URL(from, globalThis.location?.href), options);
    return fromPath(from);
  }
  if (from && typeof from.read === "function" && Number.isSafeInteger(from.size)) return from;
  return wrongCall("open() takes a path, a URL, a Blob or File, an ArrayBuffer, or bytes");
}

async function fromURL(url, options) {
  if (url.protocol === "file:") return fromPath(url);
  if (url.protocol === "http:" || url.protocol === "https:") return fromHTTP(url, options);
  const response = await ask(url, {}, options);
  return new Bytes(await bounded(response, url, options), String(url).slice(0, 40));
}

class Bytes {
  constructor(bytes, name = "the bytes") {
    this.bytes = bytes;
    this.name = name;
    this.size = bytes.length;
  }

  async read(begin, end) {
    return this.bytes.slice(begin, end);
  }

  async close() {}
}

class Part {
  constructor(blob) {
    this.blob = blob;
    this.name = blob.name ?? "the blob";
    this.size = blob.size;
  }

  async read(begin, end) {
    try {
      return new Uint8Array(await this.blob.slice(begin, end).arrayBuffer());
    } catch (error) {
      return unreadable(`${this.name} could not be read: ${error.message}; choose the file again`, error);
    }
  }

  async close() {}
}

async function fromPath(path) {
  const { open } = await import("node:fs/promises");
  let handle;
  try {
    handle = await open(path, "r");
    const facts = await handle.stat();
    if (!facts.isFile()) throw new Error("it is not a file");
    return new OnDisk(handle, String(path), facts.size);
  } catch (error) {
    await handle?.close();
    return unreadable(`${path} cannot be read: ${error.message}`, error);
  }
}

class OnDisk {
  constructor(handle, name, size) {
    Object.assign(this, { handle, name, size });
  }

  async read(begin, end) {
    const bytes = new Uint8Array(end - begin);
    for (let have = 0; have < bytes.length; ) {
      const { bytesRead } = await this.handle.read(bytes, have, bytes.length - have, begin + have);
      if (bytesRead === 0) unreadable(`${this.name} became shorter while it was read; open it again`);
      have += bytesRead;
    }
    return bytes;
  }

  async close() {
    await this.handle.close();
  }
}

async function ask(url, headers, options) {
  let response;
  try {
    response = await (options.fetch ?? fetch)(url, { headers, signal: options.signal, ...options.request });
  } catch (error) {
    return unreadable(`${url} cannot be fetched: ${error.cause?.message ?? error.message}`, error);
  }
  return response;
}

/** The body of a response, unless it is longer than `wholeLimit`. */
async function bounded(response, url, options, atMost = options.wholeLimit ?? WHOLE) {
  if (!response.ok) unreadable(`${url} answered ${response.status} ${response.statusText}`.trim());
  const declared = Number(response.headers.get("content-length") ?? 0);
  const message =
    `${url} is longer than ${atMost} bytes, and its server sends no ranges; ` +
    "serve it where ranges work, or pass a larger wholeLimit";
  if (declared > atMost) {
    await response.body?.cancel();
    tooLarge(message);
  }
  const pieces = [];
  let size = 0;
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const { done, value } = reader ? await reader.read() : { done: true };
      if (done) break;
      size += value.length;
      if (size > atMost) {
        await reader.cancel();
        tooLarge(message);
      }
      pieces.push(value);
    }
  } catch (error) {
    if (error.code === "limit") throw error;
    unreadable(`${url} broke off after ${size} bytes: ${error.message}`, error);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** A URL whose bytes are fetched by ranges; or whole, within a bound, if its server has none. */
async function fromHTTP(url, options) {
  const response = await ask(url, ranges(0, FIRST), options);
  if (response.status !== 206) {
    if (response.status === 416) return new Bytes(new Uint8Array(0), String(url)); // an empty file
    return new Bytes(await bounded(response, url, options), String(url));
  }
  const total = span(response, url, 0)[2];
  const first = await exactly(response, url, options, Math.min(FIRST, total));
  return new Remote(url, options, total, first, tag(response));
}

function ranges(begin, end) {
  return { Range: `bytes=${begin}-${end - 1}` };
}

function tag(response) {
  const etag = response.headers.get("etag");
  return etag && !etag.startsWith("W/") ? etag : null;
}

/** First byte, end and total of a `Content-Range`, which must begin where it should. */
function span(response, url, begin) {
  const found = /^bytes ([0-9]{1,16})-([0-9]{1,16})\/([0-9]{1,16})$/.exec(response.headers.get("content-range") ?? "");
  const [first, last, total] = (found ?? []).slice(1).map(Number);
  if (!found || first !== begin || last < first || last >= total || !Number.isSafeInteger(total)) {
    unreadable(`${url} answered a request for a range without saying which bytes it sent`);
  }
  return [first, last + 1, total];
}

async function exactly(response, url, options, size) {
  const bytes = await bounded(response, url, options, size).catch((error) => {
    if (error.code !== "limit") throw error;
    return unreadable(`${url} sent more than the ${size} bytes of the range`);
  });
  if (bytes.length !== size) unreadable(`${url} sent ${bytes.length} bytes of a range of ${size}`);
  return bytes;
}

class Remote {
  constructor(url, options, size, first, etag) {
    Object.assign(this, { url, options, size, first, etag, name: String(url) });
  }

  async read(begin, end) {
    if (end <= this.first.length) return this.first.slice(begin, end);
    if (begin === end) return new Uint8Array(0);
    const response = await ask(this.url, ranges(begin, end), this.options);
    if (response.status !== 206) {
      await response.body?.cancel();
      unreadable(`${this.url} answered ${response.status} to a request for a range`);
    }
    const [, until, total] = span(response, this.url, begin);
    if (total !== this.size || (this.etag && tag(response) !== this.etag)) {
      await response.body?.cancel();
      unreadable(`${this.url} changed while it was read; open it again`);
    }
    if (until !== end) unreadable(`${this.url} sent another range than it was asked for`);
    return exactly(response, this.url, this.options, end - begin);
  }

  async close() {}
}
