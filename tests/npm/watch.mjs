// What happens in a directory, as it happens.
import { assert, e2b, fails, output, sandbox, test, until } from "./sdk.mjs";

const box = await sandbox();
const { files } = box;

async function watch(path, options) {
  const seen = [], ends = [];
  const handle = await files.watchDir(path, (e) => { seen.push(e); },
    { onExit: (error) => { ends.push(error); }, timeoutMs: 0, ...options });
  const has = (name, type) => seen.some((e) => e.name === name && e.type === type);
  const list = () => seen.map((e) => [e.name, e.type]);
  return { handle, seen, ends, list, sees: (name, type) => until(() => has(name, type)) };
}

test("made, written, renamed, changed and removed", async () => {
  await files.write("w/old", "1");
  const w = await watch("w");
  await files.write("w/new", "n");
  await files.write("w/old", "2");
  await files.rename("w/old", "w/moved");
  await files.remove("w/moved");
  await output(box, "chmod 600 w/new; mkdir w/sub; echo x >w/sub/below; echo y >>w/new");
  await until(() => w.seen.filter((e) => e.name === "new" && e.type === "write").length === 2);
  assert.deepEqual(w.list(), [["new", "create"], ["new", "write"], ["old", "write"], ["old", "rename"],
    ["moved", "create"], ["moved", "remove"], ["new", "chmod"], ["sub", "create"], ["new", "write"]]);
  assert.ok(w.seen.every((e) => Object.values(e2b.FilesystemEventType).includes(e.type) && e.entry === undefined));
  await w.handle.stop();
});

test("after its stop nothing more is heard", async () => {
  await files.makeDir("s");
  const w = await watch("s"), other = await watch("s");
  await files.write("s/one", "");
  await w.sees("one", "write");
  await w.handle.stop();
  await until(() => w.ends.length === 1);
  await files.write("s/two", "");
  await other.sees("two", "write");
  assert.ok(!w.list().flat().includes("two"));
  await other.handle.stop();
});

test("below too, with what is new, and with entries", async () => {
  await files.write("deep/a/b/seen", "1");
  const w = await watch("deep", { recursive: true, includeEntry: true, allowNetworkMounts: true });
  await files.write("deep/a/b/seen", "22");
  await w.sees("a/b/seen", "write");
  const { entry } = w.seen.find((e) => e.type === "write");
  assert.deepEqual([entry.path, entry.size, entry.type], ["/home/user/deep/a/b/seen", 2, "file"]);
  await files.write("deep/x/y/z ü", "333");
  await w.sees("x/y/z ü", "create");
  await files.rename("deep/x", "deep/other");
  await w.sees("other", "create");
  await files.write("deep/other/y/later", "");
  await w.sees("other/y/later", "create");
  await files.remove("deep/other");
  await w.sees("other/y/later", "remove");
  await w.sees("other", "remove");
  await w.handle.stop();
});

test("what cannot be watched", async () => {
  await files.write("plain", "");
  await fails(files.watchDir("plain", () => {}), e2b.InvalidArgumentError, /not a directory/);
  await fails(files.watchDir("not/there", () => {}), e2b.FileNotFoundError, /not\/there/);
});

test("its time is over", async () => {
  await files.makeDir("brief");
  const w = await watch("brief", { timeoutMs: 500 });
  await until(() => w.ends.length === 1);
  assert.equal(w.ends[0]?.constructor, e2b.TimeoutError);
});
