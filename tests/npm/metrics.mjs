// What a sandbox uses.
import { assert, e2b, sandbox, test, until } from "./sdk.mjs";

const box = await sandbox();

test("measurements are plausible and of the time asked for", async () => {
  await box.files.write("big", new Uint8Array(3_000_000).buffer);
  let all = [];
  await until(async () => (all = await box.getMetrics()).at(-1)?.diskUsed >= 3_000_000, 40);
  const m = all.at(-1);
  assert.ok(m.cpuCount >= 1 && m.cpuUsedPct >= 0, JSON.stringify(m));
  assert.ok(m.memUsed > 0 && m.memUsed <= m.memTotal && m.memCache >= 0, JSON.stringify(m));
  assert.ok(m.diskUsed <= m.diskTotal, JSON.stringify(m));
  assert.ok(Math.abs(m.timestamp.getTime() - Date.now()) < 60_000);
  const hour = 3600_000, at = m.timestamp.getTime();
  assert.deepEqual(await box.getMetrics({ start: new Date(at + hour) }), []);
  assert.deepEqual(await box.getMetrics({ end: new Date(at - hour) }), []);
  const around = { start: new Date(at - hour), end: new Date(at + hour) };
  assert.ok((await e2b.Sandbox.getMetrics(box.sandboxId, around)).length >= all.length);
});
