"""A FastCGI process in place of one of ours: answers what a test tells it, so that nginx's part
alone is looked at."""
import contextlib
import os
import pathlib
import socketserver
import struct
import threading


def params(data):
    out, at = {}, 0
    while at < len(data):
        sizes = []
        for _ in range(2):
            n = data[at]
            at += 1
            if n & 0x80:
                n = (n & 0x7F) << 24 | int.from_bytes(data[at:at + 3], "big")
                at += 3
            sizes.append(n)
        name, value = data[at:at + sizes[0]], data[at + sizes[0]:at + sum(sizes)]
        out[name.decode()] = value.decode(errors="surrogateescape")
        at += sum(sizes)
    return out


class Handler(socketserver.StreamRequestHandler):
    def record(self, kind, data=b""):
        self.wfile.write(struct.pack("!BBHHBB", 1, kind, self.id, len(data), 0, 0) + data)

    def handle(self):
        sent, done = b"", False
        while not done:
            head = self.rfile.read(8)
            if len(head) < 8:
                return
            _, kind, self.id, n, pad, _ = struct.unpack("!BBHHBB", head)
            data = self.rfile.read(n + pad)[:n]
            if kind == 4:
                sent += data
            done = kind == 5 and not n
        got = params(sent)
        headers, body = self.server.answer(got)
        out = "".join(f"{k}: {v}\r\n" for k, v in headers).encode() + b"\r\n" + body
        with contextlib.suppress(OSError):  # nginx goes when the headers send it elsewhere
            for at in range(0, len(out), 60000):
                self.record(6, out[at:at + 60000])
            self.record(6)
            self.record(3, struct.pack("!IB3x", 0, 0))


class FcgiPeer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """On that socket's path until close(). answer(params) gives (headers, body)."""

    daemon_threads = True

    def __init__(self, path, answer):
        pathlib.Path(path).unlink(missing_ok=True)
        super().__init__(str(path), Handler)
        os.chmod(path, 0o666)
        self.answer = answer
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
