#!/usr/bin/env python3
"""Holds a server at load through reloads, a log that is locked or full, hanging clients, SIGTERM and SIGKILL.

    soak.py FINEPRINT WORK [MINUTES]

Each account is asked about by one thread, which counts along: a decision that differs from its own count is wrong. A call that
was under way when the server was killed, or was answered in the second before, may or may not have counted (a decision does not wait
for the journal to be on the disk); then both counts are right. At the end the books are held
against what was acknowledged, the findings against a run over the journal, and the memory against itself.
"""
import collections, http.client, json, os, pathlib, random, signal, socket, sqlite3, subprocess, sys, threading, time

fineprint, work = sys.argv[1], pathlib.Path(sys.argv[2])
minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 30
work.mkdir(parents=True, exist_ok=True)
rules, db = work / "rules", work / "log.db"
rules.mkdir(exist_ok=True)

WINDOW_S, STEP_S, MOST = 600, 10, 12
FIXED = f"""
policy acme.terms version 2026-01-01 {{
  title "Terms"
  url   "https://acme.example/terms"
  clause limits at "4.2"
    "The service may not be used beyond its limits."
}}
rule busy {{
  enforces acme.terms.limits
  severity low
  mode     flag
  on       completion
  per      account
  over     {WINDOW_S}s every {STEP_S}s
  when     count() >= {MOST}
  action   flag account
  because  "{{account}} was busy"
}}
rule probe {{
  enforces acme.terms.limits
  severity high
  mode     enforce
  on       completion where max_tokens = 0
  action   challenge account for 2s
  because  "{{account}} probed"
}}
rule spread {{
  enforces acme.terms.limits
  severity medium
  mode     shadow
  on       completion
  per      tls_fp
  over     5m every 10s
  when     distinct(account) >= 20
  action   alert "abuse"
  because  "many accounts from one client"
}}
"""
CHANGING = """
rule changing {{
  enforces acme.terms.limits
  severity low
  mode     shadow
  on       completion where output_tokens > {n}
  per      account
  over     2m every 10s
  when     count() >= 5
  action   alert "abuse"
  because  "{{account}} wrote much"
}}
"""
(rules / "fixed.tos").write_text(FIXED)
(rules / "changing.tos").write_text(CHANGING.format(n=100))
# What is found is seen within seconds.
(work / "serve.yaml").write_text("stream: {lateness: 5s}\n")

ends = time.monotonic() + minutes * 60
stop = threading.Event()
counts, wrong, waits, killed = collections.Counter(), [], [], []
lock, changing = threading.Lock(), threading.Lock()

class Server:
    def __init__(self):
        self.port, self.process, self.up = None, None, threading.Event()

    def start(self):
        began = time.monotonic()
        log = open(work / "server.log", "a")
        self.process = subprocess.Popen(
            [fineprint, "serve", "--config", work / "serve.yaml", "--rules", rules, "--db", db, "--listen", f"127.0.0.1:{self.port or 0}", "--log", "warn"],
            stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert "listening on" in line, line
        self.port = int(line.rsplit(":", 1)[1])
        while True:
            assert self.process.poll() is None, "it ended by itself"
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                c.request("GET", "/readyz")
                if c.getresponse().status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.05)
        waits.append(round(time.monotonic() - began, 2))
        self.reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.up.set()

    def end(self, how):
        self.up.clear()
        if how == "TERM":
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(60)
            assert code == 0, f"SIGTERM: {code}"
        else:
            killed.append(now_ns())
            self.process.kill()
            self.process.wait(60)
        counts[f"ended by SIG{how}"] += 1

server = Server()

def now_ns():
    return time.time_ns()

def stamp(ns):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"

class Account:
    """Counts along: for each step, how many calls counted for certain and how many perhaps."""
    def __init__(self, name):
        self.name, self.sure, self.perhaps = name, collections.Counter(), collections.Counter()

    def within(self, ns):
        end = ns // 10**9 // STEP_S + 1
        steps = range(end - WINDOW_S // STEP_S, end)
        return sum(self.sure[s] for s in steps), sum(self.perhaps[s] for s in steps)

    def count(self, ns, sure=True):
        (self.sure if sure else self.perhaps)[ns // 10**9 // STEP_S] += 1

def client(number):
    rng = random.Random(number)
    accounts = [Account(f"acct-{number}-{i}") for i in range(400)]
    connection, n, recent, kills = None, 0, collections.deque(), 0
    while not stop.is_set():
        if kills < len(killed):
            since, kills = killed[kills] - 10**9, kills + 1
            for account, ns, answered in recent:
                if answered >= since:
                    account.sure[ns // 10**9 // STEP_S] -= 1
                    account.count(ns, sure=False)
            recent.clear()
        if not server.up.wait(0.2):
            connection = None
            continue
        account, n = rng.choice(accounts[: 40 + n % 360]), n + 1
        ns, probe = now_ns(), rng.random() < 0.02
        event = {"id": f"e-{number}-{n}", "ts": stamp(ns), "type": "completion", "account": account.name,
                 "tls_fp": f"fp-{rng.randrange(30)}", "max_tokens": 0 if probe else 100,
                 "output_tokens": rng.randrange(300), "prompt": "canary-" + str(number * 10**9 + n)}
        try:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("POST", "/v1/decide", json.dumps(event), {"Content-Type": "application/json"})
            response = connection.getresponse()
            status, body = response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            connection = None
            account.count(ns, sure=False)
            counts["unanswered"] += 1
            continue
        if status == 503:
            # Turned away for want of room: its id is known, so the same answer would come again; it may have counted.
            account.count(ns, sure=False)
            counts["503"] += 1
            time.sleep(0.05)
            continue
        if status != 200:
            wrong.append((event, status, body))
            continue
        account.count(ns)
        recent.append((account, ns, now_ns()))
        while recent and recent[0][2] < now_ns() - 3 * 10**9:
            recent.popleft()
        sure, perhaps = account.within(ns)
        may = set()
        if probe:
            may = {"challenge"}
        else:
            may |= {"allow"} if sure < MOST else set()
            may |= {"flag"} if sure + perhaps >= MOST else set()
        with lock:
            counts["answered"] += 1
            counts[body["decision"]] += 1
            # A challenge that is in force bears on later calls of the account as well.
            in_force = bool(body["actions"]) and body["decision"] in ("challenge", "flag")
            if body["decision"] not in may and not in_force:
                wrong.append((event["id"], account.name, sure, perhaps, body))

def hangs():
    """Clients that open a connection, send half a request, and wait."""
    held = collections.deque()
    while not stop.is_set():
        if server.up.is_set():
            try:
                s = socket.create_connection(("127.0.0.1", server.port), timeout=2)
                s.sendall(b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"id\":")
                held.append(s)
                counts["hanging clients"] += 1
            except OSError:
                pass
        while len(held) > 50:
            held.popleft().close()
        stop.wait(0.5)

def reloads():
    n = 0
    while not stop.wait(10):
        n += 1
        with changing:
            if n % 5 == 0:
                (rules / "changing.tos").write_text("rule changing { this is no rule")
                counts["bad reloads"] += 1
            else:
                (rules / "changing.tos").write_text(CHANGING.format(n=100 + n % 3 * 50))
                counts["reloads"] += 1

def rss():
    try:
        text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) // 1024
    except (OSError, IndexError, AttributeError):
        return None

def troubles():
    """A log that is locked for a while (nobody can commit), and the process that ends."""
    rng = random.Random(1)
    while not stop.wait(45):
        what = rng.choice(["lock", "KILL", "KILL", "TERM"])
        if what == "lock":
            try:
                with sqlite3.connect(db, timeout=5, isolation_level=None) as other:
                    other.execute("BEGIN EXCLUSIVE")
                    counts["log locked for 15 s"] += 1
                    stop.wait(15)
                    other.execute("ROLLBACK")
            except sqlite3.Error:
                pass
        else:
            server.end(what)
            with changing:
                # Rules that cannot be read keep a server from starting, as they should.
                (rules / "changing.tos").write_text(CHANGING.format(n=100))
                time.sleep(0.5)
                server.start()

server.start()
threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
threads += [threading.Thread(target=f) for f in (hangs, reloads, troubles)]
for t in threads:
    t.start()
sizes = []
while time.monotonic() < ends and len(wrong) < 20:
    time.sleep(5)
    sizes.append(rss())
    if len(sizes) % 12 == 0:
        print(f"{len(sizes) // 12} min: {dict(counts)} wrong {len(wrong)} rss {sizes[-1]} MiB", flush=True)
stop.set()
for t in threads:
    t.join()
server.end("TERM")

print("counts", dict(counts))
print("seconds to readiness", waits)
third = [s for s in sizes if s]
third = third[len(third) // 3 :]
half = len(third) // 2
if half:
    print(f"rss in MiB: largest of the second third {max(third[:half])}, of the last {max(third[half:])}")
assert not wrong, wrong[:5]

# Books: what was answered is in them, and balanced.
books = dict(sqlite3.connect(db).execute("SELECT name, count FROM books"))
rejected = sum(n for name, n in books.items() if name.startswith("rejected."))
print("books", books)
assert books["received"] == books["evaluated"] + books["late"] + books["duplicate"] + rejected, books
sure, most = counts["answered"], counts["answered"] + counts["unanswered"] + counts["503"]
kills = counts["ended by SIGKILL"]
print(f"answered {sure}, at most {most}, received {books['received']}, kills {kills}")
# Each kill may take what was answered within the last group of the journal: it is not waited for.
assert sure - kills * 2000 <= books["received"] <= most, (sure, most, books)

# Findings: a run over the journal, under the rules that were in force when, finds the same.
again = subprocess.run([fineprint, "replay", "--lateness", "5s", "--journal", db], capture_output=True, text=True)
print(again.stdout.strip())
found = sqlite3.connect(db).execute("SELECT count(*) FROM violations").fetchone()[0]
assert again.returncode == 0 and found > 0 and f"{found:,} violations are found again" in again.stdout, (found, again)
assert subprocess.run([fineprint, "verify", "--db", db], capture_output=True).returncode == 0

canary = b"canary-"
for path in work.rglob("*"):
    if path.is_file() and path.parent != rules:
        assert canary not in path.read_bytes(), f"prompt text in {path}"
print("no prompt text in any file")
print("all holds")
