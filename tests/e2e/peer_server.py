"""A server of somebody else's, started for tests on free loopback ports with a directory of its own,
that can be stopped, shot, frozen and brought back where it was."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from conftest import free_ports, until


class PeerServer:
    """One server. What a kind of server says of itself: name, how many ports it has (PORTS), args()
    behind its program, its_env() beside PATH and HOME, and answers(), true once it is of use."""

    name = None
    PORTS = 1

    def __init__(self, program):
        self.program = program
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"azlon-{self.name.lower()}-"))
        self.ports = None
        self.proc = None

    def args(self):
        raise NotImplementedError

    def its_env(self):
        return {}

    def answers(self):
        raise NotImplementedError

    @property
    def port(self):
        return self.ports and self.ports[0]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.proc.pid

    def start(self):
        """Start, or start again after stop() on the same ports and directory."""
        if self.ports is not None:
            self._launch()
            return self._ready()
        for last in (False, False, True):
            self.ports = free_ports(self.PORTS)
            self._launch()
            try:
                return self._ready()
            except ChildProcessError:  # somebody else was quicker on a port
                if last:
                    raise

    def stop(self, sig=signal.SIGKILL):
        if self.proc is not None and self.proc.poll() is None:
            self.resume()
            self.proc.send_signal(sig)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()

    def restart(self, sig=signal.SIGKILL):
        self.stop(sig)
        return self.start()

    def pause(self):
        """It takes connections and answers nothing, until resume()."""
        self.proc.send_signal(signal.SIGSTOP)

    def resume(self):
        self.proc.send_signal(signal.SIGCONT)

    def close(self):
        self.stop()
        if not os.environ.get("AZLON_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, lines=30):
        return "\n".join((self.dir / "log").read_text(errors="replace").splitlines()[-lines:])

    # ---- private ----
    def _launch(self):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), **self.its_env()}
        with open(self.dir / "log", "ab") as log:
            self.proc = subprocess.Popen([self.program, *self.args()], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ready(self):
        try:
            until(self._lives_and_answers, within=60)
        except AssertionError as e:
            raise RuntimeError(f"{self.name} is not ready: {e}\n{self.log()}") from None
        return self

    def _lives_and_answers(self):
        if self.proc.poll() is not None:
            raise ChildProcessError(f"{self.name} ended with {self.proc.returncode}:\n{self.log()}")
        return self.answers()
