#!/usr/bin/env python3
"""Alters copies of a log at random and holds both verifiers against each other: they must agree on each.

    verifiers.py FINEPRINT LOG.db WORK N [SEED]

The Python verifier runs in this process, the other takes many logs at a time.
"""
import collections, importlib.util, json, os, pathlib, random, shutil, sqlite3, subprocess, sys

fineprint, log, work, n = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4])
rng = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 7)
AT_A_TIME = 50
spec = importlib.util.spec_from_file_location("verify_log", pathlib.Path(__file__).parent.parent / "examples/verify/verify_log.py")
python = importlib.util.module_from_spec(spec)
spec.loader.exec_module(python)
TABLES = {
    "violations": ["id", "rule", "rule_hash", "policy", "clause", "severity", "confidence", "mode", "status", "n_accounts", "opened_at", "updated_at", "closed_at", "digest", "record"],
    "violation_accounts": ["account", "opened_at"],
    "entries": ["seq", "kind", "subject", "digest"],
    "tree": ["size", "roots"],
    "signed": ["key", "size", "note"],
    "decisions": ["violation", "outcome", "reason", "reviewer", "at", "digest", "supersedes"],
    "action_entries": ["at", "actor", "name", "action", "act", "once", "reason", "details"],
    "decisions_given": ["number", "at", "calls", "event", "call", "account", "api_key", "org", "decision", "would", "mode", "retry_after", "reason", "rules", "violations", "actions", "bundle"],
    "given_erased": ["number", "leaf"],
    "server_notes": ["number", "kind", "at", "details"],
    "pins": ["rules", "lists", "engine", "change"],
    "inputs": ["name", "offset_bytes", "n_lines", "finished", "content_hash"],
    "books": ["count", "name"],
    "erasures": ["at", "name", "reason", "account", "touched", "journal", "kept"],
}

def another(value):
    if isinstance(value, int):
        return value + rng.choice([-1, 1])
    if value is None:
        return 1
    if not value:
        return "x" if isinstance(value, str) else b"x"
    at = rng.randrange(len(value))
    if isinstance(value, bytes):
        return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
    return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]

# What a row that is put in is known by.
PUT_IN = {"violations": "id", "violation_accounts": "account", "entries": "seq", "decisions": "number", "decisions_given": "number", "server_notes": "number", "action_entries": "seq", "pins": "generation", "signed": "key"}

def put_in(db):
    table = rng.choice(list(PUT_IN))
    names = [c[1] for c in db.execute(f"PRAGMA table_info({table})")]
    rows = db.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
    if not rows:
        return "nothing"
    row = dict(zip(names, rng.choice(rows)))
    key = row[PUT_IN[table]]
    row[PUT_IN[table]] = key + rng.choice([1, 1000]) if isinstance(key, int) else another(key)
    if table == "action_entries":
        row["once"] += "x"
    db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", list(row.values()))
    return f"{table}: a row put in"

def reorder(db):
    top = db.execute("SELECT max(seq) FROM entries").fetchone()[0]
    a, b = sorted(rng.sample(range(top + 1), 2))
    for change in [(-1, a), (a, b), (b, -1)]:
        db.execute("UPDATE entries SET seq = ? WHERE seq = ?", change)
    same = db.execute("SELECT count(DISTINCT kind || subject || hex(digest)) FROM entries WHERE seq IN (?, ?)", (a, b)).fetchone()[0] == 1
    return "nothing" if same else "entries: two exchanged"

def alter_row(db):
    if (dice := rng.random()) < 0.12:
        return put_in(db)
    if dice < 0.2:
        return reorder(db)
    table = rng.choice(list(TABLES))
    keyed = table in ("violation_accounts", "signed", "inputs", "books")
    names = ", ".join(TABLES[table])
    rows = db.execute(f"SELECT {names}{'' if keyed else ', rowid'} FROM {table}").fetchall()
    if not rows:
        return "nothing"
    row = rng.choice(rows)
    where = " AND ".join(f"{c} IS ?" for c in TABLES[table]) if keyed else "rowid = ?"
    args = row if keyed else row[-1:]
    if rng.random() < 0.2:
        db.execute(f"DELETE FROM {table} WHERE {where}", args)
        return f"{table}: a row taken out"
    column = rng.randrange(len(TABLES[table]))
    value = 1 - row[column] if TABLES[table][column] == "finished" else another(row[column])
    db.execute(f"UPDATE {table} SET {TABLES[table][column]} = ? WHERE {where}", (value, *args))
    return f"{table}.{TABLES[table][column]}"

def alter(copy, kind):
    shutil.copy(log, copy)
    if kind == "byte":
        data = bytearray(pathlib.Path(copy).read_bytes())
        at = rng.randrange(100, len(data))
        data[at] ^= 1 << rng.randrange(8)
        pathlib.Path(copy).write_bytes(data)
        return f"byte {at}"
    db = sqlite3.connect(copy)
    # Whoever alters a log by hand takes its guards away first.
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute("PRAGMA ignore_check_constraints = on")
    try:
        what = alter_row(db)
        db.commit()
    except sqlite3.Error as e:
        what = f"nothing ({type(e).__name__})"
        db.rollback()
    db.close()
    return what

def theirs(copy):
    python.problems.clear()
    try:
        python.main(copy)
    # A file that cannot be read as a log at all does not hold either.
    except (sqlite3.Error, AttributeError, TypeError, ValueError) as e:
        return [f"cannot be read: {e}"]
    return list(python.problems)

# What lies in the write-ahead log would not be copied.
sqlite3.connect(log).execute("PRAGMA wal_checkpoint(truncate)")
told, kinds, done = collections.Counter(), collections.Counter(), 0
while done < n:
    copies = {}
    for i in range(done, min(n, done + AT_A_TIME)):
        copy = str(work / f"altered-{os.getpid()}-{i}.db")
        copies[copy] = (i, alter(copy, "byte" if i % 3 == 0 else "row"))
    done += len(copies)
    args = [word for copy in copies for word in ("--db", copy)]
    ran = subprocess.run([fineprint, "verify", "--format", "json", *args, "--db", log], capture_output=True, text=True)
    assert ran.returncode in (0, 1, 3) and "panicked" not in ran.stderr, ran
    ours = {line["db"]: line for line in map(json.loads, ran.stdout.splitlines())}
    assert ours.pop(str(log))["holds"] and ours.keys() == copies.keys(), ran
    for copy, (i, what) in copies.items():
        found = theirs(copy)
        holds = not found
        assert ours[copy]["holds"] == holds, (i, what, ours[copy], found)
        sealed = not what.startswith(("byte", "nothing"))
        assert not (sealed and holds), (i, what, "went unnoticed")
        told["holds" if holds else "does not hold"] += 1
        kinds[what if not what.startswith("byte") else "a byte"] += 1
        for suffix in ("", "-wal", "-shm"):
            pathlib.Path(f"{copy}{suffix}").unlink(missing_ok=True)
print(f"{n} altered logs, {len(kinds)} kinds of change, both verifiers agree on each: {dict(told)}")
