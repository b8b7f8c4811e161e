"""The gateways: how each is started, and what is expected of it."""

import json
import secrets
import subprocess

from installed import CADDY, ENVOY, INSTALLED, LITELLM, PORTKEY


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
