"""Processes that are started and ended, and what a caller sees."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from pathlib import Path


class Process:
    def __init__(self, name, command, folder, log, environment=None):
        self.name, self.log = name, log
        out = open(log, "ab")
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=os.environ | (environment or {}), start_new_session=True,
        )

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        # Whatever it has started is in its own group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_for(self, port, path="/", accept=lambda status: True, seconds=120):
        until = time.time() + seconds
        while time.time() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, http.client.HTTPException):
                if accept(ask(port, "GET", path).status):
                    return
            time.sleep(0.1)
        tail = Path(self.log).read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.name} is not ready on port {port}\n{tail}")


class Told:
    """What a caller sees."""

    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds


def ask(port, method, path, body=None, headers=None, source="127.0.0.1"):
    since = time.time()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Told(answer.status, found, text, time.time() - since)
    finally:
        connection.close()
