// A sandbox that stands still, and goes on as it was.
import { assert, e2b, fails, output, sandbox, test, until, version } from "./sdk.mjs";

const { Sandbox } = e2b;

test("programs and files are as they were", async () => {
  const box = await sandbox();
  await box.files.write("kept.txt", "kept");
  // what it counts is nowhere but in its memory
  const counter = await box.commands.run("n=0; while read x; do n=$((n + x)); echo $n; done",
    { background: true, stdin: true, timeoutMs: 0 });
  await counter.sendStdin("40\n");
  await until(() => counter.stdout === "40\n");
  assert.equal(await box.pause(), true);
  assert.equal(await box.pause(), false);
  assert.equal(await Sandbox.betaPause(box.sandboxId), false);
  await fails(counter.wait(), e2b.TimeoutError);

  assert.equal(await box.isRunning(), false);
  const info = await box.getInfo();
  assert.deepEqual([info.state, info.lifecycle], ["paused", { onTimeout: "kill", autoResume: false }]);
  await fails(box.commands.run("true"), e2b.SandboxNotFoundError);
  await fails(box.files.read("kept.txt"), e2b.TimeoutError);
  await fails(box.setTimeout(60_000), e2b.SandboxNotFoundError);

  const again = await Sandbox.connect(box.sandboxId, { timeoutMs: 90_000 });
  assert.equal(await again.isRunning(), true);
  const { state, endAt } = await again.getInfo();
  const left = endAt.getTime() - Date.now();
  assert.ok(state === "running" && left > 60_000 && left <= 91_000, `${state}, ${left} ms`);
  assert.equal(await again.files.read("kept.txt"), "kept");
  const listener = await again.commands.connect(counter.pid);
  await listener.sendStdin("2\n");
  await again.commands.closeStdin(counter.pid);
  assert.equal((await listener.wait()).stdout, "42\n");
});

test("by its older name", async () => {
  const box = await sandbox();
  assert.equal(await box.betaPause(), true);
  assert.equal((await box.getInfo()).state, "paused");
  await box.connect();
  assert.equal(await output(box, "echo on"), "on\n");
});

test("without memory its files are what is left", async () => {
  const box = await sandbox();
  await box.files.write("kept.txt", "kept");
  const sleeper = await box.commands.run("sleep 641", { background: true });
  assert.equal(await box.pause({ keepMemory: false }), true);
  await sleeper.wait().catch(() => {});
  await box.connect();
  assert.equal(await box.files.read("kept.txt"), "kept");
  assert.equal(await output(box, "pgrep -c -f 'sleep 641$' || true"), "0\n");
});

test("it may be told to start anew when it goes on", { skip: version === "2.45.0" && "newer only" }, async () => {
  const box = await sandbox();
  await box.files.write("kept.txt", "kept");
  const sleeper = await box.commands.run("sleep 642", { background: true });
  assert.equal(await box.pause(), true);
  await sleeper.wait().catch(() => {});
  await box.connect({ onResume: "reboot" });
  assert.equal(await box.files.read("kept.txt"), "kept");
  assert.equal(await output(box, "pgrep -c -f 'sleep 642$' || true"), "0\n");
});

test("what is paused is killed", async () => {
  const box = await sandbox();
  assert.equal(await box.pause(), true);
  assert.equal(await box.kill(), true);
  assert.equal(await box.kill(), false);
  await fails(Sandbox.connect(box.sandboxId), e2b.SandboxNotFoundError);
  await fails(Sandbox.pause(box.sandboxId), e2b.SandboxNotFoundError);
});

test("its time may pause it, and a request wake it", async () => {
  const box = await sandbox({ lifecycle: { onTimeout: "pause", autoResume: true } });
  await box.files.write("kept.txt", "kept");
  await box.commands.run("sleep 643", { background: true });
  await box.setTimeout(1000);
  await until(async () => (await box.getInfo()).state === "paused");
  assert.deepEqual((await box.getInfo()).lifecycle, { onTimeout: "pause", autoResume: true });
  assert.equal(await box.isRunning(), false); // to look at it does not wake it
  assert.equal(await box.files.read("kept.txt"), "kept");
  assert.equal(await box.isRunning(), true);
  assert.equal(await output(box, "pgrep -c -f 'sleep 643$'"), "1\n");
});

test("its time may pause it without memory", async () => {
  const box = await sandbox({ lifecycle: { onTimeout: { action: "pause", keepMemory: false } } });
  const sleeper = await box.commands.run("sleep 644", { background: true });
  await box.setTimeout(1000);
  await sleeper.wait().catch(() => {});
  await until(async () => (await box.getInfo()).state === "paused");
  await fails(box.commands.run("true"), e2b.SandboxNotFoundError);
  await box.connect({ timeoutMs: 60_000 });
  assert.equal(await output(box, "pgrep -c -f 'sleep 644$' || true"), "0\n");
});

test("all at once: one wins, nobody breaks", async () => {
  const box = await sandbox();
  const won = await Promise.all([1, 2, 3, 4].map(() => box.pause()));
  assert.deepEqual(won.sort(), [false, false, false, true]);
  await Promise.all([1, 2, 3, 4].map(() => Sandbox.connect(box.sandboxId)));
  assert.equal(await output(box, "echo on"), "on\n");
});
