"""A booted host that an administrator made into a web host with Azlon by the commands of the pages, as they stand there, and
how its users reach it."""
import contextlib
import http.client
import re
import ssl

import requests

from booted import Booted, wait_for
from conftest import ROOT, Stack

UNITS_PAGE = ROOT / "fcgi/systemd/README.md"
HOST_PAGE = ROOT / "nginx/WEB_HOST.md"
POOLS = ("azlon-run_workflow", "azlon-run_workflow-wait", "azlon-files", "azlon-files-archive")
WEB = [f"{p}@{i}" for p in POOLS for i in (1, 2)]
ALONE = ["azlon-worker", "azlon-replay", "azlon-sandbox"]
SERVICES = [f"{u}.service" for u in WEB + ALONE]
SOCKETS = [f"{u}.socket" for u in (*POOLS, "azlon-replay", "azlon-sandbox")]
NAME = "azlon.example.org"
SETTINGS = {
    # what WEB_HOST.md tells to set
    "AZLON_IDENTITY": "keys", "EXTERNAL_BACKEND_URL": f"https://{NAME}", "AZLON_RECORDINGS": "/usr/local/share/azlon/recordings",
    # all callers are one, and in a hurry
    "AZLON_RATE": 5000, "AZLON_BURST": 5000, "AZLON_CONNS": 2000, "AZLON_STREAMS": 2000,
    "AZLON_USER_READS": 6000000, "AZLON_USER_WRITES": 6000000, "AZLON_USER_CREATES": 6000000,
    # nobody but our processes and root is to see this
    "OPENAI_KEY_CANARY": "canary-of-the-host",
}
CERTIFICATE = r"""
cd /etc/ssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=azlon -keyout azlon.key -out azlon.csr
printf 'subjectAltName=DNS:azlon.example.org,IP:127.0.0.1\n' >ext
openssl x509 -req -in azlon.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out azlon.pem
cat ca.pem >>/etc/ssl/certs/ca-certificates.crt
"""


def blocks(page, after):
    """The commands of a page behind some words of it, fence by fence."""
    text = page.read_text()
    assert text.count(after) == 1, (page, after)
    return re.findall(r"^```\n(.*?)^```$", text.split(after)[1], re.S | re.M)


def in_prose(page, pattern):
    found = re.findall(f"`({pattern})`", page.read_text())
    assert len(found) == 1, (page, pattern, found)
    return found[0]


class WebHost(Stack):
    """Its requests go through its nginx, by TLS, with an API key."""

    def __init__(self):
        self.machine = Booted()
        self.url = "https://127.0.0.1"
        self.key = None
        self.http = requests.Session()
        self.http.trust_env = False

    def set_up(self):
        m = self.machine
        m.install(m.files)
        m.boot()
        m.sh(CERTIFICATE)
        ca = m.dir / "ca.pem"
        ca.write_text(m.sh("cat /etc/ssl/ca.pem"))
        self.http.verify = str(ca)
        self.tls = ssl.create_default_context(cafile=ca)
        users, = blocks(UNITS_PAGE, "Then, as root:")[:1]
        m.sh(users)
        self.append("".join(f"{k}={v}\n" for k, v in SETTINGS.items()))
        m.sh(in_prose(HOST_PAGE, r"usermod [^`]*"))
        checked, conf, local, start = blocks(HOST_PAGE, "## With root once")[:4]
        assert "--check-config" in checked and "ssl_certificate …" in conf and "azlon_local.conf" in local and "azlon.target" in start
        m.sh(checked)
        m.sh(conf.replace("ssl_certificate …", "ssl_certificate /etc/ssl/azlon.pem").replace("ssl_certificate_key …", "ssl_certificate_key /etc/ssl/azlon.key"))
        m.sh(local)
        self.said = m.sh(start)
        self.key = m.sh(in_prose(HOST_PAGE, "AZLON_VAR=[^`]* keys create [^`]*")).strip()
        self.ready()
        return self

    def append(self, text):
        self.machine.run("sh", "-c", "cat >>/etc/azlon/azlon.env", input=text)

    @contextlib.contextmanager
    def setting(self, text, name="azlon"):
        """One line more in the environment file, for as long."""
        at = f"/etc/azlon/{name}.env"
        self.machine.sh(f"touch {at}; cp -p {at} /root/env")
        self.machine.run("sh", "-c", f"cat >>{at}", input=text + "\n")
        try:
            yield
        finally:
            self.machine.sh(f"cp -p /root/env {at}")

    def ready(self, within=60):
        """Until all parts say that they are."""
        def ask():
            with contextlib.suppress(requests.RequestException, ValueError):
                return self.get("/run_workflow/health/ready").json()
            return None
        wait_for(lambda: (ask() or {}).get("status") == "ok", lambda: f"{ask()}\n{self.logs()}", within)

    def headers(self, user):
        return {"Authorization": f"Bearer {self.key}"} if user and self.key else {}

    def connection(self):
        return http.client.HTTPSConnection("127.0.0.1", 443, timeout=60, context=self.tls)

    def logs(self, lines=60):
        return self.machine.journal("-n", str(lines), "-u", "azlon*")

    def close(self):
        self.machine.close()

    # ---- units ----
    def states(self):
        """Of all our units, as systemd has them: name, ActiveState."""
        out = self.machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "azlon*").stdout
        return {f[0]: f[2] for f in (line.split() for line in out.splitlines())}

    def all_active(self):
        states = self.states()
        return {u: states.get(u) for u in (*SERVICES, *SOCKETS, "azlon.target", "azlon-keys.service") if states.get(u) != "active"}

    def of_users(self):
        """Processes of Azlon's users."""
        return self.machine.run("ps", "-o", "pid=,user:20=,args=", "-u", "azlon,azlon-sandbox", check=False).stdout.splitlines()


def upgrade(host):
    """The commands that the page has for it, the first of them where the sources are."""
    first, *rest = blocks(UNITS_PAGE, "without a request that fails:")[0].splitlines()
    assert first == "make install-files"
    host.machine.install(f"/proc/{host.machine.init}/root")
    for line in rest:
        host.machine.sh(line)


