// Commands: output, ends, input, and those that go on by themselves.
import { assert, e2b, fails, output, sandbox, test, until } from "./sdk.mjs";

const box = await sandbox();
const { commands } = box;
const running = async () => (await commands.list()).map((p) => p.pid);
const sleepers = (n) => until(async () => (await output(box, `pgrep -c -f 'sleep ${n}$' || true`)) === "0\n");

test("what it says is heard as it comes, and whole at the end", async () => {
  const out = [], err = [];
  const r = await commands.run("echo hello; echo oops >&2",
    { onStdout: (s) => out.push(s), onStderr: (s) => err.push(s) });
  assert.deepEqual([r.stdout, r.stderr, r.exitCode], ["hello\n", "oops\n", 0]);
  assert.deepEqual([out.join(""), err.join("")], ["hello\n", "oops\n"]);
  // the first line is heard before the program goes on
  let heard = "";
  const h = await commands.run("echo one; read x; echo $x",
    { background: true, stdin: true, onStdout: (s) => { heard += s; } });
  await until(() => heard === "one\n");
  await h.sendStdin("two\n");
  await h.wait();
  assert.equal(heard, "one\ntwo\n");
});

test("an end that is none of success is an error with all of it", async () => {
  const e = await fails(commands.run("echo before; echo why >&2; exit 3"), e2b.CommandExitError, /exit status 3/);
  assert.deepEqual([e.exitCode, e.stdout, e.stderr, e.error], [3, "before\n", "why\n", "exit status 3"]);
  const none = await fails(commands.run("no-such-program"), e2b.CommandExitError);
  assert.equal(none.exitCode, 127);
  assert.match(none.stderr, /not found/);
  const shot = await fails(commands.run("kill -9 $$"), e2b.CommandExitError);
  assert.deepEqual([shot.exitCode, shot.error], [-1, "signal: killed"]);
});

test("user, variables and directory", async () => {
  const said = await output(box, 'id -un; pwd; echo "$A"', { envs: { A: "b 'c' é" } });
  assert.equal(said, "user\n/home/user\nb 'c' é\n");
  assert.equal(await output(box, "pwd", { cwd: "/tmp", user: "user" }), "/tmp\n");
});

test("input until it is closed", async () => {
  const cat = await commands.run("cat; echo end", { background: true, stdin: true });
  await commands.sendStdin(cat.pid, "typed ");
  await cat.sendStdin("in pieces é\n");
  await cat.sendStdin(new Uint8Array([65, 66, 10]));
  await commands.closeStdin(cat.pid);
  assert.equal((await cat.wait()).stdout, "typed in pieces é\nAB\nend\n");
  const wc = await commands.run("wc -c", { background: true, stdin: true });
  await wc.sendStdin("x".repeat(1 << 20));
  await wc.closeStdin();
  assert.equal((await wc.wait()).stdout.trim(), String(1 << 20));
});

test("without input there is none", async () => {
  assert.equal(await output(box, "cat; echo done"), "done\n");
  const h = await commands.run("sleep 600", { background: true });
  await fails(h.sendStdin("x"), e2b.SandboxError, /stdin not enabled or closed/);
  await h.kill();
});

test("in the background it is listed, and killed", async () => {
  const h = await commands.run("sleep 611", { background: true, cwd: "/tmp", envs: { A: "b" } });
  const [p] = (await commands.list()).filter((p) => p.pid === h.pid);
  assert.deepEqual([p.cmd, p.args, p.cwd, p.envs], ["/bin/bash", ["-l", "-c", "sleep 611"], "/tmp", { A: "b" }]);
  assert.equal(h.exitCode, undefined);
  assert.equal(await commands.kill(h.pid), true);
  const e = await fails(h.wait(), e2b.CommandExitError);
  assert.deepEqual([e.exitCode, e.error], [-1, "signal: killed"]);
  assert.ok(!(await running()).includes(h.pid));
  assert.equal(await commands.kill(h.pid), false);
  assert.equal(await commands.kill(999999), false);
  await sleepers(611);
});

test("another listener hears what is said from then on", async () => {
  const h = await commands.run("read x; echo got $x; exit 5", { background: true, stdin: true });
  const other = await commands.connect(h.pid);
  await other.sendStdin("this\n");
  for (const listener of [h, other]) {
    const e = await fails(listener.wait(), e2b.CommandExitError);
    assert.deepEqual([e.exitCode, e.stdout], [5, "got this\n"]);
  }
});

test("what was said while nobody listened is kept", async () => {
  const h = await commands.run("read x; echo got $x", { background: true, stdin: true });
  await h.disconnect();
  await commands.sendStdin(h.pid, "that\n");
  await until(async () => !(await running()).includes(h.pid));
  assert.match((await (await commands.connect(h.pid)).wait()).stdout, /got that\n$/);
});

test("a caller that gives up leaves it running", async () => {
  const caller = new AbortController();
  const waits = commands.run("sleep 651", { signal: caller.signal });
  let p;
  await until(async () => (p = (await commands.list()).find((p) => p.args.at(-1) === "sleep 651")));
  caller.abort();
  await assert.rejects(waits);
  assert.ok((await running()).includes(p.pid));
  assert.equal(await commands.kill(p.pid), true);
});

test("its time is over for its children too", async () => {
  await fails(commands.run("sleep 621 & sleep 621", { timeoutMs: 500 }), e2b.TimeoutError);
  await sleepers(621);
  const h = await commands.run("sleep 622", { timeoutMs: 500, background: true });
  await fails(h.wait(), e2b.TimeoutError);
  await sleepers(622);
  assert.equal(await output(box, "echo done", { timeoutMs: 0 }), "done\n");
});

test("letters that come in pieces stay whole", async () => {
  const word = "grüße 🦊 漢字";
  // each byte on its own; python3 has no buffer between it and the pipe
  const pieces = `import os, time
for b in ${JSON.stringify(word)}.encode():
    os.write(1, bytes([b])); time.sleep(0.002)`;
  let heard = "";
  const r = await commands.run(`python3 -c '${pieces}'`, { onStdout: (s) => { heard += s; } });
  assert.deepEqual([r.stdout, heard], [word, word]);
  // and where the frames of a long output divide them
  const long = await output(box, "python3 -c 'print(\"x\" + \"é漢\" * 200000, end=\"\")'");
  assert.ok(long === "x" + "é漢".repeat(200000), `${long.length} letters`);
});

test("8 MiB of output come whole", async () => {
  const line = "0123456789abcdef".repeat(64);
  let heard = 0;
  const r = await commands.run(`yes ${line.slice(1)} | head -c ${8 << 20}`,
    { onStdout: (s) => { heard += s.length; } });
  assert.deepEqual([r.stdout.length, heard], [8 << 20, 8 << 20]);
  assert.ok(r.stdout === `${line.slice(1)}\n`.repeat(8 << 10));
});

test("many at once", async () => {
  const said = await Promise.all(Array.from({ length: 30 }, (_, i) => output(box, `echo ${i}`)));
  assert.deepEqual(said, Array.from({ length: 30 }, (_, i) => `${i}\n`));
});
