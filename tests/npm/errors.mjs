// What is refused, by the class and the words a program gets.
import { assert, e2b, fails, sandbox, test, version } from "./sdk.mjs";

const { Sandbox } = e2b;
const box = await sandbox();

test("a key that is wrong", async () => {
  for (const apiKey of ["e2b_00", "e2b_" + "0".repeat(64), "no key at all"]) {
    await fails(Sandbox.create({ apiKey }), e2b.AuthenticationError);
    await fails(Sandbox.list({ apiKey }).nextItems(), e2b.AuthenticationError);
    await fails(Sandbox.kill(box.sandboxId, { apiKey }), e2b.AuthenticationError);
  }
  assert.equal(await box.isRunning(), true);
});

test("a template or a sandbox that is not there", async () => {
  const error = await fails(Sandbox.create("no-such-template"), e2b.SandboxError, /'no-such-template' not found/);
  if ("statusCode" in error) assert.equal(error.statusCode, 404);
  const none = "i00000000000000000000";
  await fails(Sandbox.getInfo(none), e2b.SandboxNotFoundError, /not found/);
  await fails(Sandbox.connect(none), e2b.SandboxNotFoundError, /not found/);
  await fails(Sandbox.pause(none), e2b.SandboxNotFoundError, /not found/);
  await fails(Sandbox.setTimeout(none, 1000), e2b.SandboxNotFoundError, /not found/);
  await fails(Sandbox.getMetrics(none), e2b.SandboxNotFoundError, /not found/);
  assert.equal(await Sandbox.kill(none), false);
});

test("arguments that are none", async () => {
  const nowhere = box.commands.run("true", { cwd: "/nowhere" });
  await fails(nowhere, e2b.InvalidArgumentError, /cwd '\/nowhere' does not exist/);
  await fails(box.commands.run("true", { user: "root" }), e2b.AuthenticationError, /invalid username: 'root'/);
  await fails(box.files.read("x", { user: "root" }), e2b.AuthenticationError, /invalid username: 'root'/);
  await fails(box.files.list(".", { user: "root" }), e2b.AuthenticationError, /invalid username: 'root'/);
  await fails(box.files.list(".", { depth: 0 }), e2b.InvalidArgumentError);
  await fails(box.commands.connect(4242), e2b.NotFoundError, /4242/);
  await fails(Sandbox.create({ timeoutMs: 0 }), e2b.SandboxError, /Timeout must be greater than 0/);
  await fails(Sandbox.create({ timeoutMs: 1e9 }), e2b.SandboxError, /Timeout cannot be greater/);
});

// nothing is left out in silence: the error names the field
const REFUSED = {
  // the older package sends nothing of it
  ...(version !== "2.45.0" && { httpsPorts: { network: { httpsPorts: [8443] } } }),
  egressProxy: { network: { egressProxy: { address: "10.0.0.1:1080" } } },
  rules: { network: { rules: { "a.example": [{ transform: { headers: { "X-A": "b" } } }] } } },
  denyOut: { network: { denyOut: ["10.0.0.0/8"] } },
  maskRequestHost: { network: { maskRequestHost: "no host" } },
  mcp: { mcp: { github: {} } },
  volumeMounts: { volumeMounts: { "/data": "some-volume" } },
  iam: { iam: { tokens: { aws: { audience: "a.example", tokenType: "jwt" } } } },
};
for (const [field, options] of Object.entries(REFUSED)) {
  test(`a sandbox with ${field}`, () => fails(Sandbox.create({ timeoutMs: 60_000, ...options }), e2b.SandboxError,
    new RegExp(`^(400|501): .*${field}`)));
}

test("a change of the network that is not offered", async () => {
  await fails(box.updateNetwork({ denyOut: ["10.0.0.0/8"] }), e2b.SandboxError, /denyOut/);
  await fails(box.updateNetwork({ egressProxy: { address: "10.0.0.1:1080" } }), e2b.SandboxError, /egressProxy/);
});

test("what only the cloud has", async () => {
  await fails(box.createSnapshot(), e2b.SandboxError, /snapshots/);
  await fails(box.fork(), e2b.SandboxError, /fork/);
  await fails(e2b.Volume.create("data"), e2b.VolumeError, /volumes/);
  await fails(e2b.Secret.create("name", { value: "hush" }), e2b.SecretError, /secrets/);
});
