"""An index of Python packages and one of Node's, with one package each, on a free port of loopback. Prints the port,
serves until its standard input ends."""
import base64
import hashlib
import http.server
import io
import json
import sys
import tarfile
import threading
import zipfile


def wheel():
    out, info = io.BytesIO(), "azpip-1.0.dist-info"
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("azpip.py", "print('by pip')\n")
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: azpip\nVersion: 1.0\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
    return out.getvalue()


def tarball():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name, text in (("package.json", '{"name": "aznpm", "version": "1.0.0"}'), ("index.js", "console.log('by npm')\n")):
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


WHEEL, TARBALL = wheel(), tarball()


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = f"http://127.0.0.1:{self.server.server_port}"
        page = {
            "/simple/azpip/": ("text/html", b'<a href="/azpip-1.0-py3-none-any.whl">azpip-1.0-py3-none-any.whl</a>'),
            "/azpip-1.0-py3-none-any.whl": ("application/zip", WHEEL),
            "/aznpm": ("application/json", json.dumps({"name": "aznpm", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
                "name": "aznpm", "version": "1.0.0", "dist": {
                    "tarball": f"{url}/aznpm-1.0.0.tgz",
                    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()}}}}).encode()),
            "/aznpm-1.0.0.tgz": ("application/octet-stream", TARBALL),
        }.get(self.path)
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", page[0] if page else "text/plain")
        self.send_header("Content-Length", str(len(page[1]) if page else 0))
        self.end_headers()
        if page:
            self.wfile.write(page[1])

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
