// Web servers in a sandbox, by the name that getHost gives them.
import http from "node:http";
import { assert, sandbox, test, until } from "./sdk.mjs";

const SERVER = `
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = json.dumps({"path": self.path, "host": self.headers["Host"], "mine": self.headers["X-Mine"],
                           "body": body.decode()}).encode()
        self.send_response(418 if self.path == "/tea" else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    do_POST = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`;

// every name below localhost is this host, whatever the resolver says
const lookup = (name, options, done) => {
  assert.match(name, /\.localhost$/);
  return options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
};

function ask(host, path = "/", { body, ...options } = {}) {
  return new Promise((done, fail) => {
    const request = http.request(`http://${host}${path}`, { lookup, agent: false, ...options }, async (r) => {
      let text = "";
      for await (const part of r.setEncoding("utf8")) text += part;
      done({ status: r.statusCode, json: JSON.parse(text) });
    });
    request.on("error", fail).end(body);
  });
}

async function served(options) {
  const box = await sandbox(options);
  await box.files.write("server.py", SERVER);
  await box.commands.run("python3 server.py 3000", { background: true, timeoutMs: 0 });
  await until(async () => (await box.commands.run("cat /proc/net/tcp")).stdout.includes(":0BB8 00000000:0000 0A"));
  return box;
}

const box = await served();
const host = box.getHost(3000);

test("it is a web server as it is", async () => {
  assert.equal(host, `3000-${box.sandboxId}.localhost:${new URL(process.env.E2B_SANDBOX_URL).port}`);
  const r = await ask(host, "/a%20b/?q=1&x=%2F", { headers: { "X-Mine": "yes" } });
  assert.deepEqual(r, { status: 200, json: { path: "/a%20b/?q=1&x=%2F", host, mine: "yes", body: "" } });
  assert.equal((await ask(host, "/", { method: "POST", body: "é".repeat(100_000) })).json.body, "é".repeat(100_000));
  assert.equal((await ask(host, "/tea")).status, 418);
});

test("a port on which nobody listens", async () => {
  const r = await ask(box.getHost(3999));
  assert.deepEqual([r.status, r.json.sandboxId, r.json.port, r.json.message],
    [502, box.sandboxId, 3999, "The sandbox is running but port is not open"]);
});

test("with a token of its own", async () => {
  const shut = await served({ network: { allowPublicTraffic: false } });
  const token = shut.trafficAccessToken;
  assert.ok(token && !box.trafficAccessToken);
  const at = shut.getHost(3000);
  assert.equal((await ask(at)).status, 403);
  assert.equal((await ask(at, "/", { headers: { "e2b-traffic-access-token": `${token}0` } })).status, 403);
  assert.equal((await ask(at, "/", { headers: { "e2b-traffic-access-token": token } })).status, 200);
});

test("it takes another name for its own", async () => {
  const masked = await served({ network: { maskRequestHost: "localhost:${PORT}" } });
  assert.equal((await ask(masked.getHost(3000))).json.host, "localhost:3000");
});

test("a request wakes it, and none reaches what is gone", async () => {
  const rests = await served({ lifecycle: { onTimeout: "pause", autoResume: true } });
  const at = rests.getHost(3000);
  assert.equal(await rests.pause(), true);
  assert.equal((await ask(at, "/woken")).json.path, "/woken");
  assert.equal((await rests.getInfo()).state, "running");
  await rests.kill();
  const r = await ask(at);
  assert.equal(r.status, 502);
  assert.match(r.json.message, /was not found/);
});
