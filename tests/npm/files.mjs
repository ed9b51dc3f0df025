// Files: written, read, listed, moved, removed.
import { randomBytes } from "node:crypto";
import { assert, e2b, fails, output, sandbox, test } from "./sdk.mjs";

const box = await sandbox();
const { files } = box;
const home = "/home/user";
const any = Uint8Array.from({ length: 256 * 40 }, (_, i) => i);
// not deepEqual: who wants to see 20 MiB that differ
const same = (a, b) => assert.ok(Buffer.from(a).equals(Buffer.from(b)), `${a.byteLength} and ${b.byteLength} bytes`);
const stream = (bytes) => new Blob([bytes]).stream();

async function whole(readable) {
  const parts = [];
  for await (const part of readable) parts.push(part);
  return Buffer.concat(parts);
}

// in every form, over both kinds of upload, packed or not
for (const options of [{}, { gzip: true }, { useOctetStream: true }]) {
  test(`what is written is read ${JSON.stringify(options)}`, async () => {
    const path = "forms/a b+c%.bin";
    for (const data of [any.buffer, new Blob([any]), stream(any)]) {
      const info = await files.write(path, data, options);
      assert.deepEqual([info.name, info.path, info.type], ["a b+c%.bin", `${home}/${path}`, "file"]);
      for (const gzip of [false, true]) {
        same(await files.read(path, { format: "bytes", gzip }), any);
        same(await (await files.read(path, { format: "blob", gzip })).arrayBuffer(), any);
        same(await whole(await files.read(path, { format: "stream", gzip })), any);
      }
    }
    for (const text of ["", "x", "hällo\r\n 🦊"]) {
      await files.write(path, text, options);
      assert.equal(await files.read(path), text);
      assert.equal(await output(box, `cat '${path}'`), text);
    }
  });
}

test("20 MiB there and back", async () => {
  const big = randomBytes(20 << 20);
  const data = new Uint8Array(big).buffer;
  await files.write("big/form", data);
  await files.write("big/stream", stream(big), { gzip: false });
  same(await files.read("big/form", { format: "bytes" }), big);
  same(await whole(await files.read("big/stream", { format: "stream" })), big);
  assert.equal(await output(box, "cmp big/form big/stream && stat -c %s big/form"), `${20 << 20}\n`);
  await files.remove("big");
});

test("names that are odd", async () => {
  const names = ["with spaces  two", "🦊 漢字 é", "quotes'\"`", "a&b=c+d%20#?;", "-rf", "back\\slash", "$HOME",
    "tab\tnew"];
  for (const name of names) {
    assert.equal((await files.write(`odd/${name}`, name)).path, `${home}/odd/${name}`);
    assert.equal(await files.read(`odd/${name}`), name);
    assert.equal(await files.exists(`odd/${name}`), true);
    assert.equal((await files.getInfo(`odd/${name}`)).name, name);
  }
  assert.deepEqual((await files.list("odd")).map((e) => e.name).sort(), [...names].sort());
  for (const name of names) await files.remove(`odd/${name}`);
  assert.deepEqual(await files.list("odd"), []);
});

test("many in one request", async () => {
  const many = Array.from({ length: 100 }, (_, i) => ({ path: `many/${i % 7}/${i} "ü".txt`, data: `no ${i}` }));
  const made = await files.writeFiles(many);
  assert.deepEqual(made.map((m) => m.path), many.map((m) => `${home}/${m.path}`));
  assert.equal(await files.read(many[99].path), "no 99");
  assert.equal(await output(box, "find many -type f | wc -l"), "100\n");
  // as one list, also of several kinds
  await files.write([{ path: "mixed/1", data: "text" }, { path: "mixed/2", data: any.buffer },
    { path: "mixed/3", data: new Blob(["blob"]) }]);
  same(await files.read("mixed/2", { format: "bytes" }), any);
  assert.equal(await output(box, "cat mixed/1 mixed/3"), "textblob");
  assert.deepEqual(await files.writeFiles([]), []);
  const twice = files.writeFiles([{ path: "twice", data: "1" }, { path: "./x/../twice", data: "2" }]);
  await fails(twice, e2b.InvalidArgumentError, /twice/);
  assert.equal(await files.read("twice"), "1");
});

test("writing replaces what was there", async () => {
  await files.write("again.txt", "long before");
  await output(box, "chmod 750 again.txt");
  await files.write("again.txt", "now");
  assert.equal(await files.read("again.txt"), "now");
  assert.equal((await files.getInfo("again.txt")).mode & 0o777, 0o750);
});

test("what is listed, how deep", async () => {
  await output(box, "mkdir -p t/a/b/c; echo hi >t/a/file; chmod 640 t/a/file; ln -s a/file t/link");
  const paths = async (options) => (await files.list("t", options)).map((e) => e.path.slice(`${home}/t/`.length));
  assert.deepEqual(await paths(), ["a", "link"]);
  assert.deepEqual(await paths({ depth: 2 }), ["a", "a/b", "a/file", "link"]);
  assert.deepEqual(await paths({ depth: 9 }), ["a", "a/b", "a/b/c", "a/file", "link"]);
  assert.deepEqual((await files.list("t")).map((e) => e.type), ["dir", "file"]);
  const info = await files.getInfo("t/a/file");
  assert.deepEqual([info.name, info.size, info.mode, info.permissions, info.owner, info.group, info.symlinkTarget],
    ["file", 3, 0o640, "-rw-r-----", "user", "user", undefined]);
  assert.ok(Math.abs(info.modifiedTime.getTime() - Date.now()) < 60_000);
  assert.equal((await files.getInfo("t/link")).symlinkTarget, `${home}/t/a/file`);
  await fails(files.list("t/a/file"), e2b.InvalidArgumentError, /not a directory/);
});

test("directories are made, things moved and removed", async () => {
  assert.equal(await files.makeDir("mk/a/b"), true);
  assert.equal(await files.makeDir("mk/a/b"), false);
  await files.write("mk/file", "1");
  const moved = await files.rename("mk/file", "mk/new/place");
  assert.deepEqual([moved.name, moved.path, moved.type], ["place", `${home}/mk/new/place`, "file"]);
  assert.equal(await files.exists("mk/file"), false);
  await files.write("mk/other", "2");
  await files.rename("mk/other", "mk/new/place");
  assert.equal(await files.read("mk/new/place"), "2");
  await files.remove("mk");
  await files.remove("mk");
  assert.equal(await files.exists("mk"), false);
});

test("what is not there", async () => {
  for (const format of ["text", "bytes", "blob", "stream"]) {
    await fails(files.read("nowhere", { format }), e2b.FileNotFoundError, /\/home\/user\/nowhere/);
  }
  await fails(files.getInfo("nowhere"), e2b.FileNotFoundError, /nowhere/);
  await fails(files.list("nowhere"), e2b.FileNotFoundError, /nowhere/);
  await fails(files.rename("nowhere", "x"), e2b.FileNotFoundError, /nowhere/);
  assert.equal(await files.exists("nowhere"), false);
  assert.ok(new e2b.FileNotFoundError("x") instanceof e2b.NotFoundError);
});

test("a directory is no file", async () => {
  await files.makeDir("adir");
  await fails(files.write("adir", "x"), e2b.InvalidArgumentError, /is a directory/);
  await fails(files.read("adir"), e2b.InvalidArgumentError, /is a directory/);
  await files.write("plain", "");
  await fails(files.makeDir("plain"), e2b.InvalidArgumentError);
});

test("more than one file may hold", async () => {
  let left = 640;
  const zeros = new ReadableStream({
    pull: (c) => (left-- > 0 ? c.enqueue(new Uint8Array(1 << 20)) : c.close()),
  });
  await fails(files.write("full/one", zeros, { gzip: true }), e2b.NotEnoughSpaceError);
  assert.deepEqual(await files.list("full"), []);
});

test("metadata stay with the file", async (t) => {
  const metadata = { Author: "Ann O'Nymous <a@b>", "run-id": "7" };
  const want = { author: "Ann O'Nymous <a@b>", "run-id": "7" };
  let made;
  try {
    made = await files.write("meta.txt", "x", { metadata });
  } catch (error) {
    assert.match(error.message, /extended attributes/); // this disk has none, and says so
    return t.diagnostic("the file system under the sandbox carries no extended attributes");
  }
  assert.deepEqual(made.metadata, want);
  assert.deepEqual((await files.rename("meta.txt", "meta2.txt")).metadata, want);
  assert.deepEqual((await files.getInfo("meta2.txt")).metadata, want);
  assert.deepEqual((await files.list(".")).find((e) => e.name === "meta2.txt").metadata, want);
  const packed = await files.write("meta2.txt", "y", { gzip: true, metadata: { only: "this" } });
  assert.deepEqual(packed.metadata, { only: "this" });
  assert.equal((await files.write("meta2.txt", "z")).metadata, undefined);
  const both = await files.writeFiles([{ path: "m/1", data: "" }, { path: "m/2", data: "" }], { metadata: { k: "v" } });
  assert.deepEqual(both.map((m) => m.metadata), [{ k: "v" }, { k: "v" }]);
});
