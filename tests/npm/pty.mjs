// Terminals.
import { assert, e2b, fails, output, sandbox, test, until } from "./sdk.mjs";

const box = await sandbox();
const { pty } = box;
const keys = (text) => new TextEncoder().encode(text);

async function terminal(options) {
  const shown = { text: "" };
  const letters = new TextDecoder();
  const onData = (data) => { shown.text += letters.decode(data, { stream: true }); };
  const h = await pty.create({ cols: 80, rows: 24, onData, ...options });
  const type = (text) => pty.sendInput(h.pid, keys(text));
  return { h, type, shown, onData, sees: (text) => until(() => shown.text.includes(text)) };
}

test("a shell on a terminal, which may change its size", async () => {
  const t = await terminal({ cwd: "/tmp", envs: { WHO: "azlon" } });
  await t.type("stty size; echo $TERM-$WHO-$PWD-$(tty | cut -c1-9)\n");
  await t.sees("24 80\r\n");
  await t.sees("xterm-256color-azlon-/tmp-/dev/pts/\r\n");
  await pty.resize(t.h.pid, { cols: 101, rows: 41 });
  await t.type("stty size\n");
  await t.sees("41 101\r\n");
  await t.type("echo gr'ü'ße 🦊\n");
  await t.sees("grüße 🦊\r\n");
  await t.type("exit 3\n");
  assert.equal((await fails(t.h.wait(), e2b.CommandExitError)).exitCode, 3);
});

test("Ctrl+C ends what runs in it, not the shell", async () => {
  const t = await terminal();
  const sleeping = (n) => until(async () => (await output(box, "pgrep -c -x sleep || true")) === `${n}\n`);
  await t.type("sleep 631\n");
  await sleeping(1);
  await t.type("\x03");
  await sleeping(0);
  await t.type("echo st'ill' here\n");
  await t.sees("still here\r\n");
  await t.h.kill();
});

test("it is left, taken up again and killed", async () => {
  const t = await terminal();
  await t.h.disconnect();
  await t.type("echo wh'il'e away\n");
  const again = await pty.connect(t.h.pid, { onData: t.onData });
  await t.sees("while away\r\n");
  assert.equal(await pty.kill(t.h.pid), true);
  assert.equal((await fails(again.wait(), e2b.CommandExitError)).error, "signal: killed");
  assert.equal(await pty.kill(t.h.pid), false);
  await fails(t.type("x"), e2b.NotFoundError);
  await fails(pty.resize(t.h.pid, { cols: 1, rows: 1 }), e2b.NotFoundError);
});

test("its time is over", async () => {
  const t = await terminal({ timeoutMs: 500 });
  await fails(t.h.wait(), e2b.TimeoutError);
  await until(async () => !(await box.commands.list()).some((p) => p.pid === t.h.pid));
});
