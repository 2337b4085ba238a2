"""Flower as it is deployed, on loopback: a SuperLink and SuperNodes as processes of their own.

Whatever would leave the machine, telemetry, update checks, packages, has to pass a proxy that only counts.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""What keeps Flower and the libraries to themselves; docs/how-to/flower.md tells the same."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(holds, seconds, what):
    """Wait for something to hold, at most so long."""
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return found


class Relay:
    """Passes TCP connections on to a port and counts the bytes; without a port it only notes who calls."""

    def __init__(self, to=None):
        self.to, self.up, self.down, self.calls = to, 0, 0, []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                caller, _ = self.listening.accept()
            except OSError:
                return
            if self.to is None:
                caller.settimeout(2)
                with contextlib.suppress(OSError):
                    self.calls.append(caller.recv(200))
                caller.close()
                continue
            threading.Thread(target=self._relay, args=(caller,), daemon=True).start()

    def _relay(self, caller):
        with caller, socket.create_connection(("127.0.0.1", self.to)) as other:
            back = threading.Thread(target=self._pass, args=(other, caller, "down"), daemon=True)
            back.start()
            self._pass(caller, other, "up")
            back.join()

    def _pass(self, one, two, way):
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                setattr(self, way, getattr(self, way) + len(data))
                two.sendall(data)
        with contextlib.suppress(OSError):
            two.shutdown(socket.SHUT_WR)

    def close(self):
        self.listening.close()


class Deployment:
    """One SuperLink with its SuperNodes. Use as a context manager: nothing is left behind."""

    def __init__(self, folder, *, tls=None, simulation=0):
        """TLS with the certificates of that folder, `ca.crt`, `server.pem` and `server.key`."""
        self.folder, self.tls, self.simulation = Path(folder), tls, simulation
        self.port, self.nodes, self.stack = free_port(), {}, contextlib.ExitStack()

    def __enter__(self):
        self.outside = Relay()
        self.stack.callback(self.outside.close)
        self.folder.mkdir(parents=True, exist_ok=True)
        secure = ["--insecure"] if self.tls is None else [
            "--ssl-ca-certfile", self.tls / "ca.crt", "--ssl-certfile", self.tls / "server.pem",
            "--ssl-keyfile", self.tls / "server.key", "--enable-supernode-auth",
        ]  # fmt: skip
        more = ["--simulation"] if self.simulation else []
        self.superlink = self.start(
            "superlink", "flower-superlink", *secure, *more, "--port", self.port
        )
        where = [f'address = "127.0.0.1:{self.port}"']
        where.append(
            "insecure = true"
            if self.tls is None
            else f'root-certificates = "{self.tls / "ca.crt"}"'
        )
        home = self.folder / "flwr"
        home.mkdir()
        lines = ["[superlink]", 'default = "here"', "[superlink.here]", *where]
        (home / "config.toml").write_text("\n".join(lines) + "\n")
        until(self.answers, 60, f"the SuperLink answers: {self.log('superlink')}")
        return self

    def __exit__(self, *raised):
        self.stack.close()
        ends = time.monotonic() + 60
        while (left := self.left()) and time.monotonic() < ends:
            time.sleep(0.5)
        for process in left:
            process.kill()
        assert not left, left

    def answers(self):
        assert self.superlink.poll() is None, self.log("superlink")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def environment(self, name):
        proxy = f"http://127.0.0.1:{self.outside.port}"
        own = {"FLWR_HOME": str(self.folder / name), "PATH": f"{BIN}:{os.environ['PATH']}"}
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        return {**os.environ, **QUIET, **proxies, **own}

    def start(self, name, command, *words):
        """A process with a log and a home of its own, ended when the deployment is."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [BIN / command, *map(str, words)], cwd=self.folder, env=self.environment(name),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.stack.callback(end, process)
        return process

    def node(self, place, of=2, *, via=None, key=None, more=(), **config):
        """Start a SuperNode of a partition."""
        told = " ".join(
            f"{k.replace('_', '-')}={v}" if isinstance(v, int) else f'{k.replace("_", "-")}="{v}"'
            for k, v in {"partition-id": place, "num-partitions": of, **config}.items()
        )
        secure = (
            ["--insecure"] if self.tls is None else ["--root-certificates", self.tls / "ca.crt"]
        )
        keys = [] if key is None else ["--auth-supernode-private-key", key]
        self.nodes[place] = self.start(
            f"node{place}", "flower-supernode", *secure, *keys, *more, "--port", free_port(),
            "--superlink", f"127.0.0.1:{via or self.port}", "--node-config", told,
        )  # fmt: skip
        return self.nodes[place]

    def kill(self, place):
        """As a machine that loses power: the SuperNode and what it started."""
        for one in [*psutil.Process(self.nodes[place].pid).children(True), self.nodes[place]]:
            one.send_signal(signal.SIGKILL)
        self.nodes[place].wait(10)

    def flwr(self, *words, seconds=100):
        """A `flwr` command, from the repository."""
        return subprocess.run(
            [BIN / "flwr", *map(str, words)], cwd=ROOT, env=self.environment("flwr"),
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip

    def run(self, options, *, seconds=400, **told):
        """`flwr run .` to the end of the run; what it prints."""
        words = [f'options="{options}"']
        told = {"wait": 300, **told}  # a busy machine is slow to start processes
        for name, value in told.items():
            text = str(value).lower() if isinstance(value, bool) else value
            words.append(
                f'{name.replace("_", "-")}="{text}"'
                if isinstance(value, (str, Path))
                else f"{name}={text}"
            )
        more = (
            ["--federation-config", f"num-supernodes={self.simulation}"] if self.simulation else []
        )
        done = self.flwr(
            "run", ".", "--run-config", " ".join(words), *more, "--stream", seconds=seconds
        )
        return done.stdout + done.stderr

    def log(self, name):
        """The end of a process's log."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def left(self):
        """Processes that live in one of the homes."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                home = process.environ().get("FLWR_HOME", "")
                if home.startswith(str(self.folder)) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def end(process):
    """Ask a process to end, and make it if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
