// Which sandboxes there are, page by page.
import { assert, e2b, fails, sandbox, test } from "./sdk.mjs";

const metadata = { suite: `list é&=+ % ${process.pid}` };
const made = [];
for (const n of ["1", "2", "3"]) made.push(await sandbox({ metadata: { ...metadata, n } }));
await made[1].pause();
const [one, two, three] = made.map((b) => b.sandboxId);

async function pages(options = {}, query = {}) {
  const list = e2b.Sandbox.list({ ...options, query: { metadata, ...query } });
  const found = [];
  while (list.hasNext) found.push((await list.nextItems()).map((s) => s.sandboxId));
  return found;
}

test("newest first, as many to a page as asked for", async () => {
  assert.deepEqual(await pages(), [[three, two, one]]);
  assert.deepEqual(await pages({ limit: 1 }), [[three], [two], [one]]);
  assert.deepEqual(await pages({ limit: 2 }), [[three, two], [one]]);
  assert.deepEqual(await pages({ limit: 3 }), [[three, two, one]]);
});

test("oldest first if asked for", async () => {
  assert.deepEqual(await pages({ order: "asc", limit: 1 }), [[one], [two], [three]]);
});

test("a page goes on where the token of the last one says", async () => {
  const first = e2b.Sandbox.list({ limit: 1, query: { metadata } });
  await first.nextItems();
  const next = e2b.Sandbox.list({ limit: 1, query: { metadata }, nextToken: first.nextToken });
  assert.deepEqual((await next.nextItems()).map((s) => s.sandboxId), [two]);
  await fails(e2b.Sandbox.list({ nextToken: "bm9uc2Vuc2U" }).nextItems(), e2b.SandboxError, /400.*token/i);
});

test("by state, also over pages", async () => {
  assert.deepEqual(await pages({}, { state: ["running"] }), [[three, one]]);
  assert.deepEqual(await pages({ limit: 1 }, { state: ["running"] }), [[three], [one]]);
  assert.deepEqual(await pages({}, { state: ["paused"] }), [[two]]);
  assert.deepEqual(await pages({}, { state: ["running", "paused"] }), [[three, two, one]]);
});

test("by all of its metadata", async () => {
  assert.deepEqual(await pages({}, { metadata: { ...metadata, n: "2" } }), [[two]]);
  assert.deepEqual(await pages({}, { metadata: { ...metadata, n: "4" } }), [[]]);
  const list = e2b.Sandbox.list({ query: { metadata: { ...metadata, n: "1" } } });
  const [info] = await list.nextItems();
  assert.deepEqual([info.sandboxId, info.metadata, info.state], [one, { ...metadata, n: "1" }, "running"]);
});

test("by its template and its start", async () => {
  assert.deepEqual(await pages({}, { template: "base" }), [[three, two, one]]);
  assert.deepEqual(await pages({}, { template: "other" }), [[]]);
  const { startedAt } = await made[2].getInfo();
  assert.ok((await pages({}, { startedAfter: startedAt }))[0].includes(three));
  assert.deepEqual(await pages({}, { startedAfter: new Date(startedAt.getTime() + 3600_000) }), [[]]);
});
