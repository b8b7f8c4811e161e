"""What stands between a gateway and Fineprint, and can be without it."""

import contextlib
import socket
import struct
import threading


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
