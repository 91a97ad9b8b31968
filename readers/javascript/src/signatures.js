/** The signatures of a file: this reader checks their form, and does not verify them. */
import { refuse } from "./errors.js";
import { parse } from "./json.js";

const isText = (value) => typeof value === "string" && value.length <= 200;

export function checkSignatures(text) {
  if (text === undefined) return;
  const bad = (why) => refuse("6.06", `the signatures of the file ${why}`);
  const found = parse(text, { what: "`saver.signatures`", depth: 64, deep: "6.06" });
  if (!Array.isArray(found) || found.length > 64) bad("are not a list of at most 64");
  const keys = new Set();
  for (const each of found) {
    if (!(each instanceof Map) || !isText(each.get("key")) || !isText(each.get("signature"))) bad("have another form");
    if (keys.has(each.get("key"))) bad("have a key twice");
    keys.add(each.get("key"));
    const parents = each.get("parents") ?? [];
    if (!Array.isArray(parents) || parents.length > 64 || !parents.every((parent) => /^[0-9a-f]{64}$/.test(parent))) {
      bad("have parents of another form");
    }
  }
}
