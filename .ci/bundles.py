#!/usr/bin/env python3
"""Alters copies of a bundle at random and holds both verifiers against each other: each must find every alteration.

    bundles.py FINEPRINT LOG.db RULES WORK N [SEED]
"""
import json, pathlib, random, struct, subprocess, sys

sys.dont_write_bytecode = True

fineprint, log, rules, work, n = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4]), int(sys.argv[5])
rng = random.Random(int(sys.argv[6]) if len(sys.argv) > 6 else 7)
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "examples/verify"))
import verify_bundle

def call(*args):
    return subprocess.run([fineprint, *map(str, args)], capture_output=True, text=True)

key = call("log", "key", "--db", log).stdout.split()[-1]
case = json.loads(call("violations", "list", "--db", log, "--by", "campaign", "--no-journal", "--format", "json").stdout)["campaigns"][0]["id"]
copy = work / "altered.zip"

def both(path):
    rust = call("verify", path, "--key", key, "--format", "json")
    verify_bundle.problems.clear()
    verify_bundle.main(path, key)
    return rust.returncode, json.loads(rust.stdout), list(verify_bundle.problems)

def members(data):
    """Where each file of the zip lies: header, content, entry of the directory."""
    count, _, offset = struct.unpack("<10xH2I2x", data[-22:])
    at, found = 0, []
    for _ in range(count):
        packed, chars = struct.unpack("<20xI4xH16x", data[offset : offset + 46])
        found.append((data[offset + 46 : offset + 46 + chars].decode(), at, at + 30 + chars + packed, offset, offset + 46 + chars))
        at, offset = at + 30 + chars + packed, offset + 46 + chars
    return found

def alter(data):
    """One byte, one piece, or two files changed for each other; and the names that may be told."""
    files = members(data)
    name, start, end, entry, entry_end = rng.choice(files)
    kind = rng.choice(["content", "content", "header", "directory", "end", "cut", "put in"])
    start, end = {"content": (start + 30 + len(name), end), "header": (start, start + 30 + len(name)),
                  "directory": (entry, entry_end), "end": (len(data) - 22, len(data))}.get(kind, (1, len(data)))
    at = rng.randrange(start, end) if start < end else start - 1
    if kind == "cut":
        return kind, None, data[:at] + data[at + rng.randrange(1, 40) :]
    if kind == "put in":
        return kind, None, data[:at] + bytes([rng.randrange(256)]) + data[at:]
    return kind, name if kind != "end" else "the zip", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]

told = 0
for level in ["authority", "public"]:
    path = work / f"{level}.zip"
    made = call("violations", "export", "--db", log, "--bundle", path, "--campaign", case, "--level", level, "--rules", rules)
    assert made.returncode == 0, made
    code, report, python = both(path)
    assert (code, report["problems"], python) == (0, [], []), (level, report, python)
    data = path.read_bytes()
    for _ in range(n // 2):
        kind, name, altered = alter(data)
        copy.write_bytes(altered)
        code, report, python = both(copy)
        assert code == 1 and python, (level, kind, name, report, python)
        names = {p["what"] for p in report["problems"]}
        assert name is None or names & {name, "the zip"}, (level, kind, name, report)
        told += 1
    print(f"{level}: {len(data):,} bytes, valid; {n // 2} altered copies found and named by both verifiers")
