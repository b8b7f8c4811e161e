#!/usr/bin/env python3
"""Power cuts below SQLite and the journal: what a program wrote to its files is recorded once, then many states are made of it that
a cut may have left, and the program must go on from each as if nothing had happened.

    crash.py FINEPRINT WORK [RUN-IMAGES] [SERVE-IMAGES] [SEED]

The record (record.c, loaded by LD_PRELOAD) holds each write, truncation, creation, renaming and sync in order. A cut comes behind any
of them. What was synced before is there; of the rest, each sector of 512 bytes may be there or not, sizes and names reach up to any
point since the last sync of their file or directory. A name is safe once its directory was synced, not before. What was told
outside (a checkpoint brought elsewhere, an answer of 2xx) must hold in every state.
"""
import bisect, collections, filecmp, http.client, json, os, pathlib, random, shutil, signal, sqlite3, subprocess, sys, time

fineprint, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
run_images = int(sys.argv[3]) if len(sys.argv) > 3 else 30
serve_images = int(sys.argv[4]) if len(sys.argv) > 4 else 10
rng = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 20261201)
here = pathlib.Path(__file__).parent
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
shim = work / "record.so"
subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", shim, here / "record.c", "-ldl", "-lpthread"], check=True)

RULES = """
policy acme.terms version 2026-01-01 {
  title "Terms"
  url   "https://acme.example/terms"
  clause limits at "4.2"
    "The service may not be used beyond its limits."
}
rule busy {
  enforces acme.terms.limits
  severity low
  mode     flag
  on       completion
  per      account
  over     10m every 1m
  when     count() >= 20
  action   flag account
  because  "{account} was busy"
}
rule probe {
  enforces acme.terms.limits
  severity high
  mode     enforce
  on       completion where max_tokens = 0
  action   challenge account for 2s
  because  "{account} probed"
}
"""
(work / "rules.tos").write_text(RULES)

# ── a file system of which only what was synced is sure ──

SECTOR = 512

class File:
    def __init__(self):
        self.sure, self.since = bytearray(), []

    def sync(self):
        for at, data in self.since:
            put(self.sure, at, data)
        self.since = []

    def cut(self, how):
        """A state that a cut may have left."""
        content, n = bytearray(self.sure), len(self.since)
        if how == "none" or not n:
            return content
        sizes = n if how in ("all", "sectors", "holes") else rng.randint(0, n)
        for k, (at, data) in enumerate(self.since[: n if how == "sectors" else sizes]):
            if data is None:
                if k < sizes:
                    put(content, at, None)
                continue
            if k < sizes and len(content) < at + len(data):
                content.extend(bytes(at + len(data) - len(content)))
            first = at // SECTOR
            for sector in range(first, (at + len(data) - 1) // SECTOR + 1):
                torn = how == "torn" and k == sizes - 1
                if how == "holes" or (how == "sectors" or torn) and rng.random() < 0.5:
                    continue
                a, b = max(at, sector * SECTOR), min(at + len(data), (sector + 1) * SECTOR, len(content))
                content[a:b] = data[a - at : b - at] if b > a else b""
        return content

def put(content, at, data):
    if data is None:
        content[at:] = bytes(max(0, at - len(content)))
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data

class Dir:
    def __init__(self):
        self.sure, self.now, self.since = {}, {}, []

    def change(self, op, name, other=None):
        self.since.append((op, name, other))
        rename(self.now, op, name, other)

    def sync(self):
        self.sure, self.since = dict(self.now), []

    def cut(self, how):
        names, n = dict(self.sure), len(self.since)
        for op in self.since[: {"none": 0, "all": n}.get(how, rng.randint(0, n))]:
            rename(names, *op)
        return names

def rename(names, op, name, other):
    if op == "set":
        names[name] = other
    elif op == "remove":
        names.pop(name, None)
    elif op == "rename" and name in names:
        names[other] = names.pop(name)

class Disk:
    def __init__(self):
        self.root = Dir()

    def find(self, path):
        node = self.root
        for part in [p for p in path.split("/") if p != "."]:
            node = node.now.get(part) if isinstance(node, Dir) else None
        return node

    def place(self, path):
        folder, _, name = path.rpartition("/")
        return self.find(folder) if folder else self.root, name

    def apply(self, op, path, other, at, data):
        if op in ("create", "mkdir"):
            folder, name = self.place(path)
            if name not in folder.now:
                folder.change("set", name, File() if op == "create" else Dir())
        elif op == "write":
            if (file := self.find(path)) is not None:
                file.since.append((at, data))
        elif op == "truncate":
            self.find(path).since.append((at, None))
        elif op == "sync":
            if (node := self.find(path)) is not None:
                node.sync()
        elif op == "remove":
            folder, name = self.place(path)
            folder.change("remove", name)
        elif op == "link":
            folder, name = self.place(other)
            folder.change("set", name, self.find(path))
        elif op == "rename":
            folder, name = self.place(path)
            folder.change("rename", name, self.place(other)[1])

    def leave(self, to, how):
        """Writes down what a cut may leave; a way for each file and directory, or the same for all."""
        ways = ("none", "all", "prefix", "torn", "sectors", "holes")
        one = rng.choice(ways + ("any",) * 4)
        way = lambda: rng.choice(ways) if one == "any" else one
        def down(node, path):
            for name, child in node.cut(way()).items():
                if isinstance(child, Dir):
                    (path / name).mkdir()
                    down(child, path / name)
                else:
                    (path / name).write_bytes(child.cut(way()))
        to.mkdir()
        down(self.root, to)
        return one

def trace(path):
    with open(path, "rb") as f:
        while head := f.readline():
            op, name, other, at, n = head.decode().rstrip("\n").split("\t")
            yield op, name, other, int(at), f.read(int(n))

def recorded(name):
    """An environment in which everything below `name` is recorded."""
    (work / name).mkdir()
    return {**os.environ, "LD_PRELOAD": str(shim), "CRASH_DIR": str(work / name), "CRASH_TRACE": str(work / f"{name}.trace"), "CRASH_TOLD": str(work / f"{name}.kept")}

def images(name, n, check):
    """States behind `n` operations of a record, each handed to `check` with what had been told by then."""
    ops = list(trace(work / f"{name}.trace"))
    # Half of the cuts come anywhere, half right before or behind a sync, a renaming, or when something was told.
    edges = [i + d for i, o in enumerate(ops) if o[0] in ("sync", "rename", "told") for d in (0, 1)]
    cuts = sorted(rng.choice(edges) if k % 2 else rng.randint(0, len(ops)) for k in range(n))
    disk, told, done, ways = Disk(), [], 0, collections.Counter()
    # At the place of the recorded files: a log knows some by their paths.
    image = work / name
    for cut in cuts:
        for op, path, other, at, data in ops[done:cut]:
            told.append(data) if op == "told" else disk.apply(op, path, other, at, data)
        done = cut
        shutil.rmtree(image, ignore_errors=True)
        ways[disk.leave(image, None)] += 1
        try:
            check(image, told)
        except AssertionError as e:
            shutil.copytree(image, work / f"{name}.failed-{cut}", dirs_exist_ok=True)
            sys.exit(f"{name}: cut behind operation {cut} of {len(ops)}, {len(told)} told: {e}")
    shutil.rmtree(image, ignore_errors=True)
    print(f"{name}: {n} cuts in {len(ops)} operations, {ops and sum(o[0] == 'sync' for o in ops)} syncs, {len([1 for o in ops if o[0] == 'told'])} told: nothing told was lost ({dict(ways)}, {time.monotonic() - started:.0f} s)")

started = time.monotonic()

def call(*args, env=None, codes=(0,)):
    done = subprocess.run([fineprint, *map(str, args)], capture_output=True, text=True, env=env)
    assert done.returncode in codes, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done

def event(n, ns, account, **more):
    ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9 // 10**6:03d}Z"
    return json.dumps({"id": f"ev_{n:06d}", "ts": ts, "type": "completion", "account": account, "status": 200, "max_tokens": 512, **more})

def kept(told):
    path = work / "kept.txt"
    path.write_bytes(b"".join(told))
    return ["--anchor", path] if told else []

# ── `run`: in several goes, each with more input ──

def of_run():
    events, ns = [], 1_767_000_000 * 10**9
    for n in range(4_000):
        ns += rng.randrange(3 * 10**9)
        events.append("no JSON" if n % 90 == 0 else event(n, ns, f"a{rng.randrange(12)}", **({"max_tokens": 0} if n % 40 == 7 else {})))
    feed, env = work / "events.jsonl", recorded("run")
    def go(db, *more, env=None):
        return call("run", "--exit-zero", "--format", "json", "--rules", work / "rules.tos", "--commit-every", 300, "--db", db / "v.db", "--rejects", db / "rejects.jsonl", *more, feed, env=env)
    for part in range(1, 7):
        feed.write_text("".join(line + "\n" for line in events[: len(events) * part // 6]))
        go(work / "run", "--checkpoint-file", work / "run.kept", env=env)
    def export(db):
        call("violations", "export", "--db", db / "v.db", "--format", "jsonl", "--out", work / "export.jsonl")
        books = sqlite3.connect(f"file:{db / 'v.db'}?mode=ro", uri=True).execute("SELECT name, count FROM books ORDER BY name").fetchall()
        return (work / "export.jsonl").read_text(), books, (db / "rejects.jsonl").read_text()
    undisturbed = export(work / "run")
    assert undisturbed[0].count("\n") > 50 and undisturbed[2].count("\n") == 45, "there is nothing to lose"
    def check(image, told):
        if told:
            call("verify", "--db", image / "v.db", *kept(told))
        go(image)
        assert export(image) == undisturbed, "what goes on from there ends otherwise"
        call("verify", "--db", image / "v.db", *kept(told))
    images("run", run_images, check)

# ── `serve`: receipts, decisions, reloads, an end and a kill ──

class Server:
    def __init__(self, folder, env=None, config=work / "serve.yaml"):
        self.process = subprocess.Popen([fineprint, "serve", "--config", config, "--rules", work / "rules.tos", "--db", folder / "v.db", "--listen", "127.0.0.1:0", "--log", "warn"], stdout=subprocess.PIPE, stderr=open(work / "serve.log", "w"), text=True, env=env)
        line = self.process.stdout.readline()
        assert "listening on" in line, f"it does not start: {line} {(work / 'serve.log').read_text()[-2000:]}"
        ready = self.process.stdout.readline()
        assert "ready" in ready, f"it does not get ready: {ready} {(work / 'serve.log').read_text()[-2000:]}"
        self.http = http.client.HTTPConnection("127.0.0.1", int(line.rsplit(":", 1)[1]), timeout=30)

    def ask(self, method, path, body=None):
        self.http.request(method, path, body, {"content-type": "application/json"} if body else {})
        answer = self.http.getresponse()
        text = answer.read()
        assert answer.status < 300, (path, answer.status, text)
        return text

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        assert self.process.wait(30) == (0 if how == signal.SIGTERM else -how), "it does not end in order"

def of_serve():
    quick = "stream: {lateness: 1s, commit_time: 100ms, save_gate: 1s}\n"
    (work / "serve.yaml").write_text(quick)
    (work / "recorded.yaml").write_text(quick + f"checkpoints: [{{file: {work / 'serve.kept'}}}]\n")
    env = recorded("serve")
    ids, asked, n = [], [], 0
    for session in range(3):
        server = Server(work / "serve", env=env, config=work / "recorded.yaml")
        for k in range(25):
            now = time.time_ns()
            if k % 5 == 4:
                server.ask("POST", "/v1/decide", event(n, now, "d", max_tokens=0))
                asked.append(("decide", n, 1))
                n += 1
                continue
            batch = [event(n + i, now, f"a{rng.randrange(6)}", **({"max_tokens": 0} if i == 3 else {})) for i in range(6)]
            server.ask("POST", "/v1/events", "[" + ",".join(batch) + "]")
            asked.append(("events", n, 6))
            n += 6
            time.sleep(0.03)
            if k == 12:
                (work / "rules.tos").write_text(RULES.replace(">= 20", f">= {21 + session}"))
                server.ask("POST", "/v1/reload", "{}")
                asked.append(("reload", 0, 0))
        server.end(signal.SIGKILL if session == 1 else signal.SIGTERM)
    def check(image, told):
        notes = [t for t in told if not t.startswith(b"HTTP/")]
        answers = sum(t.startswith(b"HTTP/") for t in told)
        safe = [a for a in asked[:answers] if a[0] == "events"]
        if notes:
            call("verify", "--db", image / "v.db", *kept(notes))
        server = Server(image)
        # An event of now moves the watermark past all that was recorded.
        server.ask("POST", "/v1/events", "[" + event(999_999, time.time_ns(), "last") + "]")
        server.end()
        call("verify", "--db", image / "v.db", *kept(notes))
        books = dict(sqlite3.connect(f"file:{image / 'v.db'}?mode=ro", uri=True).execute("SELECT name, count FROM books").fetchall())
        least = sum(a[2] for a in safe)
        assert books.get("received", 0) > least, f"{books} of {least} acknowledged records"
        assert books.get("duplicate", 0) == 0 and books.get("received", 0) <= n + 1, f"counted twice: {books}"
        found = call("violations", "export", "--db", image / "v.db", "--format", "jsonl", "--out", work / "export.jsonl", "--rule", "probe")
        found = [json.loads(line) for line in open(work / "export.jsonl")]
        # The fourth of each batch probes: it is found, and once.
        probes = len({(v["id"]) for v in found})
        assert len(found) == probes and probes >= 1 or not safe, f"{probes} probes"
        evidence = collections.Counter(e["id"] for v in found for e in v["evidence"]["events"])
        for _, first, _ in safe:
            assert evidence[f"ev_{first + 3:06d}"] >= 1, f"the finding of ev_{first + 3:06d} is missing"
    time.sleep(1.2)
    images("serve", serve_images, check)

if run_images: of_run()
if serve_images: of_serve()
