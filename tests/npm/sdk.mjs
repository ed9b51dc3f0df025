// What the scripts share: the package under test as Node finds it, sandboxes that end with the script, and checks.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { inspect } from "node:util";

const load = createRequire(`${process.env.AZLON_NPM}/package.json`);
export const e2b = load(process.env.AZLON_E2B);
export const { version } = load(`${process.env.AZLON_E2B}/package.json`);
export { assert, test };

// a sandbox for the tests of one script; of its own where one is ended or stopped
export async function sandbox(options) {
  const box = await e2b.Sandbox.create({ timeoutMs: 120_000, ...options });
  after(() => box.kill());
  return box;
}

export async function until(condition, seconds = 15) {
  for (const end = Date.now() + seconds * 1000; !(await condition());) {
    assert.ok(Date.now() < end, `not met within ${seconds} s: ${condition}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

// it fails with just this class, not one above it, and says so
export async function fails(promise, type, says = /./) {
  const error = await promise.then((value) => assert.fail(`no error, but ${inspect(value, { depth: 0 })}`), (e) => e);
  assert.equal(error.constructor.name, type.name, error.stack);
  assert.match(error.message, says);
  return error;
}

export async function output(box, command, options) {
  return (await box.commands.run(command, options)).stdout;
}
