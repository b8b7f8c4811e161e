#!/usr/bin/env python3
"""Kills a server (SIGKILL) at random points while it takes records in and gives decisions, and starts it again on the same log: what
was acknowledged is there, once, and the log holds as sealed.

    kill_serve.py FINEPRINT WORK [KILLS] [SEED]
"""
import http.client, json, pathlib, random, signal, sqlite3, subprocess, sys, threading, time

fineprint, work = sys.argv[1], pathlib.Path(sys.argv[2])
kills = int(sys.argv[3]) if len(sys.argv) > 3 else 20
rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 20261201)
work.mkdir(parents=True, exist_ok=True)
(work / "rules.tos").write_text("""
policy acme.terms version 2026-01-01 {
  title "Terms"
  url   "https://acme.example/terms"
  clause limits at "4.2"
    "The service may not be used beyond its limits."
}
rule probe {
  enforces acme.terms.limits
  severity high
  mode     enforce
  on       completion where max_tokens = 0
  action   challenge account for 2s
  because  "{account} probed"
}
""")
(work / "serve.yaml").write_text(f"stream: {{lateness: 1s, commit_time: 50ms, save_gate: 1s}}\ncheckpoints: [{{file: {(work / 'kept.txt').resolve()}}}]\n")
db, sent, safe, probes = work / "v.db", 0, 0, []

def start():
    process = subprocess.Popen([fineprint, "serve", "--config", work / "serve.yaml", "--rules", work / "rules.tos", "--db", db, "--listen", "127.0.0.1:0", "--log", "warn"], stdout=subprocess.PIPE, stderr=open(work / "serve.log", "a"), text=True)
    lines = process.stdout.readline(), process.stdout.readline()
    assert "listening on" in lines[0] and "ready" in lines[1], (lines, (work / "serve.log").read_text()[-2000:])
    return process, int(lines[0].rsplit(":", 1)[1])

def event(n, **more):
    now = time.time_ns()
    ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9 // 10**6:03d}Z"
    return json.dumps({"id": f"ev_{n:06d}", "ts": ts, "type": "completion", "account": f"a{n % 17}", "max_tokens": 512, **more})

def books():
    return dict(sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute("SELECT name, count FROM books").fetchall())

began, decided = time.monotonic(), 0
for kill in range(kills + 1):
    process, port = start()
    if kill == kills:
        break
    timer = threading.Timer(rng.uniform(0.005, 0.4), process.kill)
    timer.start()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        while True:
            if rng.random() < 0.2:
                body, path, n = event(sent, max_tokens=0), "/v1/decide", 1
            else:
                body, path, n = "[" + ",".join(event(sent + i, **({"max_tokens": 0} if i == 3 else {})) for i in range(5)) + "]", "/v1/events", 5
            first = sent
            sent += n
            client.request("POST", path, body, {"content-type": "application/json"})
            answer = client.getresponse()
            text = answer.read()
            assert answer.status == 200 or answer.status == 202, (answer.status, text)
            if path == "/v1/events":
                safe += n
                probes.append(f"ev_{first + 3:06d}")
            else:
                decided += 1
    except (OSError, http.client.HTTPException):
        pass
    process.wait(30)
    if kill % 25 == 24:
        kept = ["--anchor", work / "kept.txt"] if (work / "kept.txt").exists() else []
        holds = subprocess.run([fineprint, "verify", "--db", db, *kept], capture_output=True, text=True)
        assert holds.returncode == 0, (kill, holds.stdout[-2000:], holds.stderr)
client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
# What was acknowledged last is found once the clock has passed it.
while probes and time.monotonic() - began < 3 * kills + 60:
    told = sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute("SELECT count(*) FROM violations WHERE instr(record, ?) > 0", (probes[-1],))
    if told.fetchone()[0]:
        break
    time.sleep(0.2)
process.send_signal(signal.SIGTERM)
assert process.wait(60) == 0
subprocess.run([fineprint, "verify", "--db", db, "--anchor", work / "kept.txt"], check=True, stdout=subprocess.DEVNULL)
counted = books()
assert safe <= counted["received"] <= sent and counted.get("duplicate", 0) == 0, (safe, sent, counted)
subprocess.run([fineprint, "violations", "export", "--db", db, "--format", "jsonl", "--out", work / "export.jsonl", "--rule", "probe"], check=True, stderr=subprocess.DEVNULL)
found = [json.loads(line) for line in open(work / "export.jsonl")]
seen = [e["id"] for v in found for e in v["evidence"]["events"]]
assert len(seen) == len(set(seen)), "an event stands in two findings"
missing = set(probes) - set(seen)
assert not missing, f"{len(missing)} findings of acknowledged records are missing: {sorted(missing)[:5]}"
print(f"{kills} kills of a server, {safe} acknowledged records and {len(probes)} findings of them there, {counted['received']} of {sent} sent counted, {decided} decisions, {time.monotonic() - began:.0f} s")
