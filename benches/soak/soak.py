#!/usr/bin/env python3
"""Holds a server at load through reloads, disks that are slow, full or dead, a log that is locked, hanging clients, SIGTERM and
SIGKILL.

    soak.py FINEPRINT WORK [MINUTES] [--rate CALLS_PER_SECOND] [--window SECONDS] …

Each account is asked about by one thread, which counts along: a decision that differs from its own count is wrong. A call that
was under way when the server was killed, or was answered in the second before, may or may not have counted (a decision does not wait
for the journal to be on the disk); then both counts are right. At the end the books are held
against what was acknowledged, the findings against a run over the journal, and the memory against itself: it is sampled every
ten seconds, and over the second half of the run it may not grow. For that the window is to be a small part of the run: what
counts in a window takes room until it is over.

The disk is slow or dead by a library that is loaded before others (slow.c, needs `cc`); it is full by a small file system in
memory (needs root). What cannot be done here is said and left out.
"""
import argparse, atexit, collections, csv, http.client, json, os, pathlib, random, shutil, signal, socket, sqlite3, subprocess, sys, threading, time

ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ask.add_argument("fineprint")
ask.add_argument("work", type=pathlib.Path)
ask.add_argument("minutes", type=float, nargs="?", default=30)
ask.add_argument("--rate", type=float, default=0, help="calls per second of all clients; 0: as many as it answers")
ask.add_argument("--window", type=int, default=600, help="seconds over which is counted")
ask.add_argument("--clients", type=int, default=6)
ask.add_argument("--accounts", type=int, default=400, help="of each client")
ask.add_argument("--trouble", type=float, default=45, help="seconds between two troubles")
ask.add_argument("--only", help="troubles to make, by comma, in this order: KILL,TERM,lock,slow,dead,full")
ask.add_argument("--disk", type=int, default=1024, help="MiB of the file system in memory")
ask.add_argument("--growth", type=float, default=1.0, help="MiB a minute that memory may grow in the second half")
ask.add_argument("--flat", action="store_true", help="judge memory in a run of less than 10 minutes too")
given = ask.parse_args()
fineprint, work, minutes = given.fineprint, given.work, given.minutes
WINDOW_S, STEP_S, MOST = given.window, 10, 12
work.mkdir(parents=True, exist_ok=True)
rules, disk = work / "rules", work / "disk"
rules.mkdir(exist_ok=True)
disk.mkdir(exist_ok=True)
troubles_known = ["KILL", "lock", "slow", "TERM", "dead", "full"]

def left_out(what, why):
    troubles_known.remove(what)
    print(f"left out: {what}: {why}", flush=True)

mounted = False
if os.geteuid() == 0:
    told = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={given.disk}m", "tmpfs", disk], capture_output=True, text=True)
    mounted = told.returncode == 0
    if mounted:
        atexit.register(subprocess.run, ["umount", "-l", disk])
    else:
        left_out("full", f"no file system can be mounted: {told.stderr.strip()}")
else:
    left_out("full", "only root mounts a file system")
db, slow = disk / "log.db", work / "slow"
library = work / "slow.so"
compiler = shutil.which("cc")
slow.unlink(missing_ok=True)
if compiler is None:
    left_out("slow", "there is no `cc`")
    left_out("dead", "there is no `cc`")
else:
    source = pathlib.Path(__file__).with_name("slow.c")
    subprocess.run([compiler, "-Wall", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
environment = dict(os.environ, SLOW_DISK=str(slow))
if compiler:
    environment["LD_PRELOAD"] = str(library)

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
  over     {WINDOW_S // 2}s every 10s
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
  over     {over}s every 10s
  when     count() >= {most}
  action   alert "abuse"
  changed  {changed}
  because  "{{account}} wrote much"
}}
"""
def changing_text(n, changed="reset", most=5):
    return CHANGING.format(n=n, most=most, changed=changed, over=max(10, WINDOW_S // 50 * 10))

(rules / "fixed.tos").write_text(FIXED)
(rules / "changing.tos").write_text(changing_text(100))
# What is found is seen within seconds.
(work / "serve.yaml").write_text("stream: {lateness: 5s, remember: 60s}\n")

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
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
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

def ready():
    """What /readyz says, and the details."""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    c.request("GET", "/readyz")
    response = c.getresponse()
    return response.status, json.loads(response.read())

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
    accounts = [Account(f"acct-{number}-{i}") for i in range(given.accounts)]
    connection, n, recent, kills = None, 0, collections.deque(), 0
    # At a fixed rate what was not sent in time is not made up for.
    pause, due = (given.clients / given.rate if given.rate else 0), time.monotonic()
    while not stop.is_set():
        if pause:
            due = max(due + pause, time.monotonic() - pause)
            stop.wait(max(0, due - time.monotonic()))
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
        account, n = rng.choice(accounts[: 40 + n % max(1, given.accounts - 40)]), n + 1
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
    n, looks_at = 0, 100
    while not stop.wait(10):
        n += 1
        with changing:
            if n % 5 == 0:
                (rules / "changing.tos").write_text("rule changing { this is no rule")
                counts["bad reloads"] += 1
            else:
                # What was counted is counted on, anew, or again from the journal.
                changed = ["reset", "backfill", "keep"][n % 3]
                if changed != "keep":
                    looks_at = 100 + n % 4 * 25
                (rules / "changing.tos").write_text(changing_text(looks_at, changed, 5 + n % 2))
                counts["reloads"] += 1

def rss():
    try:
        text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) // 1024
    except (OSError, IndexError, AttributeError):
        return None

wanting = []
def expect(what, holds):
    if not holds:
        wanting.append(what)

def while_it_lasts(what, seconds, tells):
    """Whether decisions go on, and what is told, while something is wrong with the disk; and that it heals by itself."""
    answered, told, ends_at = counts["answered"], False, time.monotonic() + seconds
    while time.monotonic() < ends_at and not stop.is_set():
        stop.wait(1)
        try:
            told = told or tells(*ready())
        except (OSError, ValueError, http.client.HTTPException) as e:
            wanting.append(f"{what}: /readyz does not answer: {e}")
    expect(f"{what}: no decision was given meanwhile", counts["answered"] > answered)
    expect(f"{what}: readiness does not tell it", told or stop.is_set())

def heals(what):
    until, last = time.monotonic() + 30, None
    while time.monotonic() < until:
        try:
            status, last = ready()
            session = last["details"]["session"]
            if status == 200 and session["last_error"] is None and session["commits_failed"] == 0:
                return
        except (OSError, ValueError, http.client.HTTPException, KeyError):
            pass
        time.sleep(0.2)
    wanting.append(f"{what}: it does not heal: {last}")

def fails(status, told):
    session = (told.get("details") or {}).get("session") or {}
    return status == 503 or session.get("commits_failed", 0) > 0 or session.get("last_error") is not None

def locked():
    try:
        with sqlite3.connect(db, timeout=5, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            while_it_lasts("lock", 15, lambda status, told: True)
            other.execute("ROLLBACK")
    except sqlite3.Error as e:
        print("the log could not be locked:", e, flush=True)
    heals("lock")

def slowed():
    slow.write_text("300 0")
    while_it_lasts("slow", 15, lambda status, told: True)
    slow.unlink()
    heals("slow")

def dead():
    # 5: EIO.
    slow.write_text("0 5")
    while_it_lasts("dead", 12, fails)
    slow.unlink()
    heals("dead")

def full():
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    f.write(b"\0" * size)
            except OSError:
                pass
        while_it_lasts("full", 12, fails)
    filler.unlink()
    heals("full")

def ended(how):
    server.end(how)
    with changing:
        # Rules that cannot be read keep a server from starting, as they should.
        (rules / "changing.tos").write_text(changing_text(100))
        time.sleep(0.5)
        server.start()

def troubles():
    rng, n = random.Random(1), 0
    does = {"lock": locked, "slow": slowed, "dead": dead, "full": full, "KILL": lambda: ended("KILL"), "TERM": lambda: ended("TERM")}
    chosen = [t for t in given.only.split(",") if t in troubles_known] if given.only is not None else troubles_known
    while chosen and not stop.wait(given.trouble):
        what = chosen[n % len(chosen)] if n < len(chosen) or given.only else rng.choice(chosen)
        n += 1
        if what in ("KILL", "TERM") and time.monotonic() > ends - minutes * 30:
            # The memory of one process is judged over the second half.
            continue
        counts[f"trouble: {what}"] += 1
        try:
            does[what]()
        except Exception as e:
            wanting.append(f"{what}: {e!r}")
            stop.set()

def slope(points):
    """By least squares, in units of the second a minute of the first (seconds)."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    over = sum((x - mx) ** 2 for x, _ in points)
    return 60 * sum((x - mx) * (y - my) for x, y in points) / over if over else 0.0

server.start()
threads = [threading.Thread(target=client, args=(i,)) for i in range(given.clients)]
threads += [threading.Thread(target=f) for f in (hangs, reloads, troubles)]
for t in threads:
    t.start()
sizes, began, next_minute = [], time.monotonic(), 60
with open(work / "rss.csv", "w", newline="") as out:
    rows = csv.writer(out)
    rows.writerow(["seconds", "rss_mib", "answered", "pid"])
    while time.monotonic() < ends and len(wrong) < 20 and not stop.is_set():
        stop.wait(10)
        at, size = round(time.monotonic() - began), rss()
        if size:
            sizes.append((at, size))
            rows.writerow([at, size, counts["answered"], server.process.pid])
            out.flush()
        if at >= next_minute:
            next_minute += 60
            print(f"{at // 60} min: {dict(counts)} wrong {len(wrong)} rss {size} MiB", flush=True)
stop.set()
for t in threads:
    t.join()
slow.unlink(missing_ok=True)
server.end("TERM")

print("counts", dict(counts))
print("seconds to readiness", waits)
# What counts in a window takes room until it is over.
filled = [(at, size) for at, size in sizes if at >= minutes * 30 + WINDOW_S + 60]
half = filled if len(filled) >= 12 else [(at, size) for at, size in sizes if at >= minutes * 30]
if len(half) >= 6:
    grows = slope(half)
    values = [size for _, size in half]
    print(f"rss over the second half: {min(values)} to {max(values)} MiB, {grows:+.2f} MiB a minute")
    if minutes >= 10 or given.flat:
        assert grows <= given.growth, f"memory grows by {grows:.2f} MiB a minute; {work / 'rss.csv'} has it"
assert not wanting, wanting
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
assert sure - kills * 2000 <= books["received"] - books.get("duplicate", 0) <= most, (sure, most, books)

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
