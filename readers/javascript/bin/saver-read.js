#!/usr/bin/env node
/**
 * Says what is in a .saver file, as the neutral JSON of tests/conformance/README.md, or which rule the file breaks. With
 * --stdin, answers each line of its input, a path, with a line.
 */
import { createInterface } from "node:readline";
import { open } from "../index.js";
import { neutral } from "../src/neutral.js";

async function verdict(path) {
  try {
    const file = await open(path);
    try {
      return await neutral(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error.name !== "SaverError") throw error;
    const { rule, code, message } = error;
    if (code === "unsupported") return { verdict: "unsupported", needs: message, rule };
    return { verdict: "invalid", rule, error: code, message };
  }
}

/** JSON in ASCII, so that a line is a line for whatever reads it. */
function ascii(value) {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const [path, ...more] = process.argv.slice(2);
if (path === undefined || more.length) {
  console.error("usage: saver-read FILE, or saver-read --stdin");
  process.exit(2);
}
if (path === "--stdin") {
  for await (const line of createInterface({ input: process.stdin })) console.log(ascii(await verdict(line)));
} else {
  console.log(ascii(await verdict(path)));
}
