"""HTTP as bytes: what no client library sends."""
import contextlib
import socket


class Raw:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]}"


def connect(port, within=20):
    return socket.create_connection(("127.0.0.1", port), within)


def drain(s):
    """All that comes until the other side closes; a reset ends it too."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := s.recv(65536):
            got += chunk
    return got


def talk(port, data, within=20):
    """What comes back until the server closes."""
    with connect(port, within) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
        return drain(s)


def unchunked(body):
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        n = int(size.split(b";")[0], 16)
        if n == 0:
            return out, body.partition(b"\r\n")[2]
        out, body = out + body[:n], body[n + 2:]


def answers(got):
    """Every answer of a connection, in order."""
    out = []
    while got:
        head, sep, rest = got.partition(b"\r\n\r\n")
        assert sep, got[:300]
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        if "content-length" in headers:
            n = int(headers["content-length"])
            body, got = rest[:n], rest[n:]
        elif headers.get("transfer-encoding") == "chunked":
            body, got = unchunked(rest)
        elif status in (204, 304) or status < 200:
            body, got = b"", rest
        else:
            body, got = rest, b""
        out.append(Raw(status, headers, body))
    return out


def one(port, data):
    """The only answer to a request that closes its connection."""
    all_of = answers(talk(port, data))
    assert len(all_of) == 1, all_of
    return all_of[0]


def request(method="GET", target="/run_workflow", *headers, host="localhost", body=b"", close=True):
    """A request as bytes; headers as bytes or text, each a whole line."""
    lines = [f"{method} {target} HTTP/1.1".encode() if isinstance(target, str) else method.encode() + b" " + target + b" HTTP/1.1"]
    if host is not None:
        lines.append(b"Host: " + (host if isinstance(host, bytes) else host.encode()))
    lines += [h if isinstance(h, bytes) else h.encode() for h in headers]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
