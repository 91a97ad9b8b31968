/** What can be wrong with a file, each with the rule of docs/format that it breaks. */

/** Any error that this reader raises. `code` says which kind, `rule` which rule of the format (or null). */
export class SaverError extends Error {
  constructor(message, { code, rule = null, cause } = {}) {
    super(rule === null ? message : `${message} (rule ${rule})`, cause === undefined ? undefined : { cause });
    this.name = "SaverError";
    this.code = code;
    this.rule = rule;
  }
}

/** The file breaks a rule of the format. `code` is "refused", or "damaged" where a hash differs. */
export function refuse(rule, message) {
  throw new SaverError(message, { code: "refused", rule });
}

/** Bytes are not those that were written. */
export function damaged(rule, message) {
  throw new SaverError(message, { code: "damaged", rule });
}

/** The file is sound, as far as one can tell, but this reader cannot do what was wanted. */
export function unsupported(message, rule = null) {
  throw new SaverError(message, { code: "unsupported", rule });
}

/** The caller wanted something that the file does not have, or passed what cannot be. */
export function wrongCall(message) {
  throw new SaverError(message, { code: "argument" });
}

/** The bytes could not be fetched. */
export function unreadable(message, cause) {
  throw new SaverError(message, { code: "source", cause });
}

/** What was read is larger than the caller allows. */
export function tooLarge(message) {
  throw new SaverError(message, { code: "limit" });
}

/** A text of a file, short enough for a message, and without control characters. */
export function shown(text) {
  const plain = JSON.stringify(String(text)).replace(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "?");
  return plain.length > 80 ? `${plain.slice(0, 76)}…"` : plain;
}
