#!/usr/bin/env python3
"""Alters copies of a log at random and holds both verifiers against each other: they must agree on each.

    verifiers.py FINEPRINT LOG.db WORK N [SEED]
"""
import pathlib, random, shutil, sqlite3, subprocess, sys, collections

fineprint, log, work, n = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4])
rng = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 7)
python = pathlib.Path(__file__).parent.parent / "examples/verify/verify_log.py"
copy = work / "altered.db"
TABLES = {
    "violations": ["id", "rule", "rule_hash", "policy", "clause", "severity", "confidence", "mode", "status", "n_accounts", "opened_at", "updated_at", "closed_at", "digest", "record"],
    "violation_accounts": ["account", "opened_at"],
    "entries": ["seq", "kind", "subject", "digest"],
    "tree": ["size", "roots"],
    "signed": ["key", "size", "note"],
    "decisions": ["violation", "outcome", "reason", "reviewer", "at", "digest", "supersedes"],
    "action_entries": ["at", "actor", "name", "action", "act", "once", "reason", "details"],
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
        return value
    at = rng.randrange(len(value))
    if isinstance(value, bytes):
        return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
    return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]

def alter_row(db):
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

def alter(kind):
    shutil.copy(log, copy)
    for suffix in ("-wal", "-shm"):
        pathlib.Path(f"{copy}{suffix}").unlink(missing_ok=True)
    if kind == "byte":
        data = bytearray(copy.read_bytes())
        at = rng.randrange(100, len(data))
        data[at] ^= 1 << rng.randrange(8)
        copy.write_bytes(data)
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

subprocess.run(["sqlite3", log, "PRAGMA wal_checkpoint(truncate)"], capture_output=True) if shutil.which("sqlite3") else None
told = collections.Counter()
for i in range(n):
    what = alter("byte" if i % 3 == 0 else "row")
    ours = subprocess.run([fineprint, "verify", "--db", copy], capture_output=True, text=True)
    theirs = subprocess.run([sys.executable, python, copy], capture_output=True, text=True)
    # A file that cannot be read as a log at all does not hold either.
    ours_holds, theirs_holds = ours.returncode == 0, theirs.returncode == 0
    assert ours.returncode in (0, 1, 3) and "panicked" not in ours.stderr, (i, what, ours)
    assert ours_holds == theirs_holds, (i, what, ours.stdout, ours.stderr, theirs.stdout, theirs.stderr)
    sealed = not what.startswith(("byte", "nothing"))
    assert not (sealed and ours_holds), (i, what, "went unnoticed")
    told["holds" if ours_holds else "does not hold"] += 1
print(f"{n} altered logs, both verifiers agree on each: {dict(told)}")
