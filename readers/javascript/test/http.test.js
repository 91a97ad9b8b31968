/** Files on a server: by ranges; whole, within a bound; and from servers that lie. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";
import { open } from "../index.js";
import { node, pack } from "./packs.js";

const SIZE = 40 * 2 ** 20;
const data = new Uint8Array(SIZE).map((_, i) => (i * 7) ^ (i >> 12));
const large = pack(node("list", []), [["t", "U8", [SIZE], data]]);

/** Runs `use(url, sent)` against a server that answers with `answer(request, response)`; `sent.bytes` counts. */
async function serving(answer, use) {
  const sent = { bytes: 0, requests: 0 };
  const server = createServer((request, response) => {
    sent.requests += 1;
    const end = response.end.bind(response);
    response.end = (body) => {
      sent.bytes += body?.length ?? 0;
      return end(body);
    };
    answer(request, response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    await use(`http://127.0.0.1:${server.address().port}/a.saver`, sent);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const ranged = (bytes, change = () => {}) => (request, response) => {
  const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range).map(Number);
  if (from >= bytes.length) return response.writeHead(416).end();
  const end = Math.min(to + 1, bytes.length);
  const head = { "content-range": `bytes ${from}-${end - 1}/${bytes.length}`, etag: '"1"' };
  const answer = { status: 206, head, body: bytes.subarray(from, end) };
  change(answer, from);
  return response.writeHead(answer.status, answer.head).end(answer.body);
};

test("a box of a large tensor costs a few blocks", async () => {
  await serving(ranged(large), async (url, sent) => {
    const file = await open(url);
    assert.deepEqual([sent.requests, sent.bytes], [1, 65536]);
    const found = await file.tensor("t", { box: [[SIZE - 9, SIZE]] });
    assert.deepEqual([...found.data], [...data.subarray(SIZE - 9)]);
    assert.deepEqual([sent.requests, sent.bytes], [2, 65536 + 2 ** 22]);
  });
});

test("a small file is one request, and a missing one is an error", async () => {
  await serving(ranged(pack(7)), async (url, sent) => {
    assert.equal(await (await open(new URL(url))).value(), 7);
    assert.equal(sent.requests, 1);
  });
  await serving((_, response) => response.writeHead(404).end(), (url) => assert.rejects(open(url), { code: "source" }));
  await assert.rejects(open("http://127.0.0.1:9/a"), { code: "source" });
});

test("a server without ranges is read whole, up to a bound", async () => {
  const whole = (_, response) => response.writeHead(200).end(large);
  await serving(whole, async (url) => {
    const file = await open(url);
    assert.equal((await file.tensor("t", { box: [[0, 1]] })).data[0], data[0]);
    await assert.rejects(open(url, { wholeLimit: 2 ** 20 }), { code: "limit" });
  });
  const endless = (_, response) => {
    response.writeHead(200);
    const more = () => response.write(large) && setImmediate(more);
    response.on("drain", more).on("error", () => {});
    more();
  };
  await serving(endless, (url) => assert.rejects(open(url, { wholeLimit: 2 ** 22 }), { code: "limit" }));
});

test("answers that are not what was wanted are errors", async () => {
  const lies = [
    (answer, from) => from && (answer.body = answer.body.subarray(1)),
    (answer, from) => from && (answer.status = 200),
    (answer, from) => from && (answer.head["content-range"] = `bytes 0-${answer.body.length - 1}/${large.length}`),
    (answer, from) => from && delete answer.head["content-range"],
    (answer, from) => from && (answer.head.etag = '"2"'),
    (answer, from) => from && (answer.head["content-range"] = answer.head["content-range"].replace(/\d+$/, large.length + 1)),
    (answer, from) => from && (answer.status = 500),
    (answer) => (answer.head["content-range"] = "bytes */*"),
  ];
  for (const lie of lies) {
    await serving(ranged(large, lie), async (url) => {
      await assert.rejects(open(url).then((file) => file.tensor("t", { box: [[SIZE - 9, SIZE]] })), { code: "source" });
    });
  }
  const damage = (answer, from) => from && (answer.body = answer.body.map((byte, i) => (i === 5 ? byte ^ 1 : byte)));
  await serving(ranged(large, damage), async (url) => {
    await assert.rejects((await open(url)).tensor("t", { box: [[SIZE - 9, SIZE]] }), { code: "damaged" });
  });
});

test("a request can be ended by its caller", async () => {
  const signal = AbortSignal.timeout(50);
  await serving(() => {}, (url) => assert.rejects(open(url, { signal }), { code: "source" }));
});
