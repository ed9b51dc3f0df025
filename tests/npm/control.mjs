// The life of a sandbox: made, found again, given more time, ended.
import { assert, e2b, fails, output, sandbox, test, until } from "./sdk.mjs";

const { Sandbox } = e2b;
const metadata = { purpose: "npm", odd: "a b&c=d é" };
const box = await sandbox({ metadata, envs: { WHO: "azlon", MORE: "a=b 'c'" } });
const left = async (b) => (await b.getInfo()).endAt.getTime() - Date.now();
const about = (ms, want) => assert.ok(ms > want - 20_000 && ms <= want + 1000, `${ms} ms, not ${want}`);

test("what it was made with is told, and seen inside", async () => {
  const info = await box.getInfo();
  assert.deepEqual([info.sandboxId, info.templateId, info.state, info.metadata],
    [box.sandboxId, "base", "running", metadata]);
  assert.ok(info.cpuCount >= 1 && info.memoryMB > 0);
  assert.ok(Math.abs(info.startedAt.getTime() - Date.now()) < 60_000);
  assert.match(box.sandboxId, /^i[a-z0-9]{20}$/);
  assert.equal(await output(box, 'echo "$WHO/$MORE/$E2B_SANDBOX_ID"'), `azlon/a=b 'c'/${box.sandboxId}\n`);
  assert.deepEqual((await Sandbox.getInfo(box.sandboxId)).metadata, metadata);
});

test("it lives five minutes unless told otherwise", async () => {
  const plain = await sandbox({ timeoutMs: undefined });
  about(await left(plain), 300_000);
});

test("its time counts from now, longer or shorter", async () => {
  const timed = await sandbox();
  about(await left(timed), 120_000);
  await timed.setTimeout(600_000);
  about(await left(timed), 600_000);
  await Sandbox.setTimeout(timed.sandboxId, 60_000);
  about(await left(timed), 60_000);
});

test("when its time is over it is gone", async () => {
  const brief = await sandbox({ timeoutMs: 1000 });
  await until(async () => !(await brief.isRunning()));
  await fails(brief.getInfo(), e2b.SandboxNotFoundError, new RegExp(brief.sandboxId));
  assert.equal(await brief.kill(), false);
});

test("who connects finds the same, and never shortens its time", async () => {
  await box.files.write("shared.txt", "by the first");
  const again = await Sandbox.connect(box.sandboxId, { timeoutMs: 400_000 });
  assert.equal(await again.files.read("shared.txt"), "by the first");
  about(await left(box), 400_000);
  await box.connect({ timeoutMs: 30_000 });
  about(await left(box), 400_000);
});

test("what was killed answers nothing more", async () => {
  const { sandboxId } = await sandbox();
  const dead = await Sandbox.connect(sandboxId);
  assert.equal(await dead.isRunning(), true);
  assert.equal(await Sandbox.kill(sandboxId), true);
  assert.equal(await Sandbox.kill(sandboxId), false);
  assert.equal(await dead.kill(), false);
  assert.equal(await dead.isRunning(), false);
  await fails(Sandbox.connect(sandboxId), e2b.SandboxNotFoundError, /not found/);
  await fails(dead.setTimeout(60_000), e2b.SandboxNotFoundError, /not found/);
  await fails(dead.commands.run("true"), e2b.SandboxNotFoundError, /not running/);
  await fails(dead.files.read("x"), e2b.TimeoutError, /was not found/);
  await fails(dead.files.list("."), e2b.TimeoutError);
});

test("a command under way hears that its sandbox was killed", async () => {
  const dead = await sandbox();
  const command = await dead.commands.run("sleep 600", { background: true });
  await dead.kill();
  await fails(command.wait(), e2b.TimeoutError);
});

test("templates are known by name", async () => {
  assert.equal(await e2b.Template.exists("base"), true);
  assert.equal(await e2b.Template.exists("no-such-template"), false);
});

test("without internet there is no way out", async () => {
  const shut = await sandbox({ allowInternetAccess: false });
  assert.equal(await output(shut, "wc -l </proc/net/route; curl -s http://example.com/"), "1\nblocked by the sandbox: no network\n");
  assert.equal((await shut.getInfo()).allowInternetAccess, false);
});

test("its network may be changed while it runs", async () => {
  await box.updateNetwork({ allowOut: ["pkgs.example"], denyOut: [e2b.ALL_TRAFFIC] });
  let { network } = await box.getInfo();
  assert.deepEqual([network.allowOut, network.denyOut], [["pkgs.example"], ["0.0.0.0/0"]]);
  assert.equal(network.allowPublicTraffic, true);
  await Sandbox.updateNetwork(box.sandboxId, {});
  ({ network } = await box.getInfo());
  assert.deepEqual([network.allowOut, network.denyOut], [[], []]);
  assert.equal((await box.getInfo()).allowInternetAccess, true);
});
