// Signed URLs: who has one needs neither key nor token.
import { assert, sandbox, test } from "./sdk.mjs";

const box = await sandbox({ secure: true });
const other = await sandbox({ secure: true });
const post = { method: "POST", body: "x", headers: { "Content-Type": "application/octet-stream" } };
const text = async (url) => (await fetch(url)).text();

async function refused(url, says, options) {
  const r = await fetch(url, options);
  assert.equal(r.status, 401, url);
  assert.match((await r.json()).message, says);
}

test("a file comes down", async () => {
  const path = "si gn+ed/ü 🦊 &=%.txt";
  await box.files.write(path, "mine");
  await other.files.write(path, "the other's");
  const brief = { useSignatureExpiration: 60 };
  for (const options of [{}, brief, { user: "user" }, { ...brief, user: "user" }]) {
    assert.equal(await text(await box.downloadUrl(path, options)), "mine");
    assert.equal(await text(await other.downloadUrl(path, options)), "the other's");
  }
});

test("a file goes up, as a form or as it is", async () => {
  const form = new FormData();
  form.append("file", new Blob(["posted"]), "whatever");
  let r = await fetch(await box.uploadUrl("up.txt", { useSignatureExpiration: 60 }), { method: "POST", body: form });
  assert.equal(r.status, 200);
  assert.deepEqual((await r.json()).map((f) => f.path), ["/home/user/up.txt"]);
  assert.equal(await box.files.read("up.txt"), "posted");
  r = await fetch(await box.uploadUrl("raw.txt"), { ...post, body: "raw" });
  assert.equal(r.status, 200);
  assert.equal(await box.files.read("raw.txt"), "raw");
  // without a path the names in the form say where
  const named = new FormData();
  named.append("file", new Blob(["1"]), "named/one.txt");
  named.append("file", new Blob(["2"]), "/home/user/two.txt");
  r = await fetch(await box.uploadUrl(), { method: "POST", body: named });
  assert.deepEqual((await r.json()).map((f) => f.path), ["/home/user/named/one.txt", "/home/user/two.txt"]);
  assert.equal(await box.files.read("/home/user/two.txt"), "2");
  assert.equal(await other.files.exists("raw.txt"), false);
});

test("a signature is for one file, one way, one time", async () => {
  await box.files.write("down.txt", "down");
  const down = await box.downloadUrl("down.txt", { useSignatureExpiration: 60 });
  await refused(down.replace("down.txt", "raw.txt"), /invalid signature/);
  await refused(down.replace("signature_expiration=", "signature_expiration=1"), /invalid signature/);
  await refused(await box.uploadUrl("down.txt"), /invalid signature/);
  await refused(down, /invalid signature/, post);
  const over = { useSignatureExpiration: -5 };
  await refused(await box.downloadUrl("down.txt", over), /already expired/);
  await refused(await box.uploadUrl("down.txt", over), /already expired/, post);
  assert.equal(await box.files.read("down.txt"), "down");
});

test("there is no sandbox without them", async () => {
  const plain = await sandbox({ secure: false });
  await plain.files.write("x", "x");
  const url = await plain.downloadUrl("x");
  assert.equal(await text(url), "x");
  const ids = { "E2b-Sandbox-Id": plain.sandboxId, "E2b-Sandbox-Port": "49983" };
  await refused(url.replace(/&signature=.*/, ""), /missing signature/, { headers: ids });
});

test("it ends with its sandbox", async () => {
  const brief = await sandbox();
  await brief.files.write("x", "x");
  const url = await brief.downloadUrl("x");
  assert.equal(await text(url), "x");
  await brief.kill();
  await refused(url, /./);
});
