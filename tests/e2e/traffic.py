"""Requests at a steady rate while a test does something to the stack; what failed is kept."""
import http.client
import threading
import time


class Traffic:
    """with Traffic(stack, paths) as t: …; then t.failed holds (path, what came instead of a good answer)."""

    def __init__(self, stack, paths, rate=200, user="alice", keep_alive=False, threads=16):
        self.stack, self.paths, self.user, self.keep_alive = stack, paths, user, keep_alive
        self.every, self.n_threads = threads / rate, threads
        self.failed, self.sent, self.stop = [], 0, threading.Event()
        self.lock = threading.Lock()

    def _one(self, conn, path):
        if not self.keep_alive:
            conn = self.stack.connection()
        try:
            conn.request("GET", path, headers=self.stack.headers(self.user))
            r = conn.getresponse()
            body = r.read()
            if r.status != 200:
                return f"{r.status} {body[:200]!r}"
        except (OSError, http.client.HTTPException) as e:
            conn.close()
            return repr(e)
        if not self.keep_alive:
            conn.close()
        return None

    def _client(self, number):
        conn = self.stack.connection()
        due = time.monotonic() + self.every * number / self.n_threads
        n = number
        while not self.stop.wait(max(0, due - time.monotonic())):
            path = self.paths[n % len(self.paths)]
            bad = self._one(conn, path)
            with self.lock:
                self.sent += 1
                if bad:
                    self.failed.append((path, bad))
            n += self.n_threads
            due += self.every
        conn.close()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._client, args=(i,)) for i in range(self.n_threads)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()
