#!/usr/bin/env python3
"""A model API that needs no model: answers chat completions, streamed or whole, in OpenAI's shape. Standard library only.

    model_stub.py [PORT]          # 9000 by default, loopback only

`GET /calls` tells how many calls reached it and what the last one's headers were, so that a test can see what a gateway
let pass.
"""

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "The answer of a model that is no model at all .".split(" ")
BODY_BYTES_MAX = 64 << 20


class Calls:
    """What reached the stub."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.headers = {}

    def note(self, headers):
        with self.lock:
            self.count += 1
            self.headers = {name.lower(): value for name, value in headers.items()}


class Stub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls = Calls()

    def do_GET(self):
        if self.path == "/calls":
            with self.calls.lock:
                self.send({"count": self.calls.count, "headers": self.calls.headers})
        elif self.path.endswith("/models"):
            self.send({"object": "list", "data": [{"id": "stub", "object": "model"}]})
        else:
            self.send({"error": {"message": "no such path", "type": "not_found"}}, 404)

    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if length > BODY_BYTES_MAX:
            return self.send({"error": {"message": "too long", "type": "too_long"}}, 413)
        raw = self.read_chunks() if self.headers.get("transfer-encoding") == "chunked" else self.rfile.read(length)
        try:
            call = json.loads(raw)
        except ValueError:
            return self.send({"error": {"message": "the body is not JSON", "type": "invalid_request_error"}}, 400)
        self.calls.note(self.headers)
        # Records of a call are told apart by it.
        self.id = f"stub-{uuid.uuid4()}"
        usage = {"prompt_tokens": 5, "completion_tokens": len(WORDS), "total_tokens": 5 + len(WORDS)}
        if self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}]
            return self.send({"object": "list", "data": data, "model": "stub", "usage": usage})
        if call.get("stream"):
            return self.stream(call, usage)
        message = {"role": "assistant", "content": " ".join(WORDS)}
        self.send(self.piece(call, "chat.completion", {"message": message, "finish_reason": "stop"}) | {"usage": usage})

    def stream(self, call, usage):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        pieces = [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
        pieces += [{"delta": {"content": word + " "}, "finish_reason": None} for word in WORDS]
        pieces += [{"delta": {}, "finish_reason": "stop"}]
        # A prompt that asks for it gets its answer in ten seconds.
        pause = 0.8 if "slowly" in json.dumps(call.get("messages")) else 0.01
        for piece in pieces:
            self.event(json.dumps(self.piece(call, "chat.completion.chunk", piece)))
            time.sleep(pause)
        if (call.get("stream_options") or {}).get("include_usage"):
            self.event(json.dumps(self.piece(call, "chat.completion.chunk", None) | {"usage": usage}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def piece(self, call, kind, choice):
        choices = [] if choice is None else [{"index": 0} | choice]
        return {"id": self.id, "object": kind, "created": int(time.time()), "model": call.get("model"), "choices": choices}

    def event(self, data):
        line = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if len(body) > BODY_BYTES_MAX:
                break
        self.rfile.readline()
        return body

    def send(self, answer, status=200):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Stub).serve_forever()
