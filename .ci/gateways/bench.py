"""All that runs at a time, and what is asked of each gateway."""

import json
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from process import Process, ask
from relay import Relay, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples/gateways"
STATES = ("down", "slow", "503")
GAP_SECONDS = 15
# For a gateway to listen, on a machine that has much else to do.
START_SECONDS = 240
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
        # After this time a call without its record is one; and what rules find is acted upon within seconds.
        soon = f"\ngaps: {{within: {GAP_SECONDS}s}}\nstream: {{lateness: 1s, commit_time: 1s}}\n"
        (self.work / "fineprint.yaml").write_text(config + soon)
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
        time.sleep(GAP_SECONDS + 1)
        gaps = found["log"] = self.gaps("litellm")
        self.expect(gaps["records"] > 30, gateway, f"records of LiteLLM's log: {gaps}")
        self.expect(gaps["without_decision"] == away, gateway, f"{away} calls passed while Fineprint was away; told: {gaps}")
        self.expect(gaps["without_record"] == 0, gateway, f"calls without a record in LiteLLM's log: {gaps}")
        self.expect(gaps["answered_though_refused"] == 0, gateway, f"refused calls with a record of an answer: {gaps}")

    def blocked_soon(self, running, caller):
        """Innocent calls until the block of an account takes effect: how many seconds, or None."""
        since = time.time()
        while time.time() < since + 20:
            if running.call(caller).status == running.gateway.refused:
                return round(time.time() - since, 1)
            # Somebody else's call moves time on.
            running.call(f"{caller}-beside")
            time.sleep(0.3)
        return None

    def check_cut(self, gateway, running, found):
        """A caller that is blocked while its answer streams."""
        caller = f"key-{gateway.folder}-cut"
        with ThreadPoolExecutor() as pool:
            streaming = pool.submit(running.call, caller, prompt="Answer slowly.", stream=True)
            time.sleep(0.5)
            running.call(caller, "harvester/1.0")
            blocked = self.blocked_soon(running, caller)
            told = streaming.result()
        found["cut"] = {"status": told.status, "events": told.body.count("data:"), "blocked_after": blocked}
        cut = '"error"' in told.body and "no model at all" not in told.body
        self.expect(told.status == 200 and cut, gateway, f"a stream of a blocked account: {told.status} {told.body}")
        self.expect(not [w for w in INTERNAL if w in told.body], gateway, f"the end of a stream shows the engine: {told.body}")

    def check(self, gateway, closed, opened):
        since = time.time()
        path = "/health/liveliness" if gateway.folder == "litellm" else "/"
        for running in (closed, opened):
            running.process.wait_for(running.port, path, gateway.ready, START_SECONDS)
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
        found["blocked_after"] = self.blocked_soon(closed, f"key-{tag}-refused")
        expect(found["blocked_after"] is not None, "an account that a rule blocked goes on calling")
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

        if gateway.folder == "litellm":
            self.check_cut(gateway, closed, found)

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
