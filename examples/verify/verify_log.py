#!/usr/bin/env python3
"""Verifies a Fineprint violation log without Fineprint: standard library only.

    verify_log.py LOG.db [PUBLIC-KEY or its file]        exit 0: it holds; 1: what does not is named

Entries (RFC 6962 tree over `fineprint entry 1` lines) against the signed checkpoint (C2SP note, Ed25519), and violations,
decisions of reviewers and at calls, acts, rule sets, notes of the server and the standing of the log against their entries.
"""
import base64, calendar, hashlib, json, os, sqlite3, sys, time

# Ed25519 after RFC 8032, section 6: verification alone, and strict about encodings.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, I = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P

def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q

def same(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0

def point(bytes32):
    y = int.from_bytes(bytes32, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P

BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))

def signed(key, text, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= L or same(times(8, a), (0, 1, 1, 0)):
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    return same(times(s, BASE), add(r, times(h, a)))

def sha(data):
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).digest()

def canonical(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

def ns(text):
    if text is None:
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0") or 0)

def grow(edge, n, entry, node=None):
    """Adds the n-th leaf to the right edge of a tree, and gives its root."""
    node, k = node or sha(b"\0" + entry), n
    while k & 1:
        node, k = sha(b"\1" + edge.pop() + node), k >> 1
    edge.append(node)
    root = edge[-1]
    for left in reversed(edge[:-1]):
        root = sha(b"\1" + left + root)
    return root

problems = []
def wrong(what):
    problems.append(what)

def main(db, given=None):
    if given and os.path.isfile(given):
        given = open(given).read().strip()
    log = sqlite3.connect(f"file:{db}?mode=ro", uri=True)
    rows = lambda sql: log.execute(sql).fetchall()
    for (line,) in rows("PRAGMA integrity_check(100)"):
        line == "ok" or wrong(f"the file: {line}")

    # The tree: the right edge, and its root at each size.
    edge, roots, last, keys, violations, batches = [], [sha(b"")], {}, set(), {}, {}
    for n, (seq, kind, subject, digest) in enumerate(rows("SELECT seq, kind, subject, digest FROM entries ORDER BY seq")):
        seq == n or wrong(f"entry {n}: is missing")
        roots.append(grow(edge, n, f"fineprint entry 1\n{seq}\n{kind}\n{subject}\n{digest.hex()}\n".encode()))
        if kind == "violation":
            violations[subject] = digest
        elif kind == "retraction":
            violations.pop(subject, None)
        elif kind == "given":
            batches[subject] = digest
        elif kind == "forgotten":
            batches.pop(subject, None) == digest or wrong(f"entry {n}: forgets what was not there so")
        elif kind == "key":
            keys.add(subject)
        else:
            last[kind, subject] = (digest, n)
    [(len(roots) - 1, b"".join(edge))] == rows("SELECT size, roots FROM tree") or wrong("the tree: its right edge")

    checkpoints = [c for c in rows("SELECT key, note, size FROM signed") if given in (None, c[0])]
    checkpoints or wrong("the log: nothing of it is signed by that key")
    for key, note, column in checkpoints:
        given or key in keys or wrong(f"key {key}: no entry announces it")
        try:
            name, _, encoded = key.split("+", 2)
            public = base64.b64decode(encoded, validate=True)
            identity = sha(f"{name}\n".encode() + public)[:4]
            text, _, line = note.partition("\n\n")
            dash, signer, blob = line.removesuffix("\n").split(" ")
            blob = base64.b64decode(blob, validate=True)
            origin, size, root = text.split("\n")
            ok = (dash, signer, origin, blob[:4]) == ("\u2014", name, name, identity) and public[0] == 1 and note.endswith("\n")
            ok = ok and key.split("+")[1] == identity.hex() and signed(public[1:], f"{text}\n".encode(), blob[4:])
            ok or wrong(f"checkpoint of {key}: its signature does not hold")
            size = int(size)
            size == column or wrong(f"checkpoint of {key}: its column `size`")
            if ok and (size >= len(roots) or roots[size] != base64.b64decode(root, validate=True)):
                wrong(f"checkpoint of {key}: the first {size} entries are not those that were signed")
        except (ValueError, IndexError):
            wrong(f"checkpoint of {key}: cannot be read")

    # What the log holds, against its entries.
    ranks = (["info", "low", "medium", "high", "critical"], ["low", "medium", "high"])
    named = set(rows("SELECT violation, account, opened_at FROM violation_accounts"))
    for v in rows("SELECT id, digest, record, rule, rule_hash, policy, clause, mode, status, severity, confidence, n_accounts, updated_at, closed_at, opened_at FROM violations"):
        seal, said = violations.pop(v[0], None), {}
        seal == sha(v[2]) == v[1] or wrong(f"violation {v[0]}: is not what its entry seals")
        try:
            said = json.loads(v[2])
            copied = [said[k] for k in ("id", "rule", "rule_hash", "policy", "clause", "mode", "status")]
            copied += [ranks[0].index(said["severity"]), ranks[1].index(said["confidence"]), len(said["accounts"])]
            copied += [ns(said[k]) for k in ("updated_at", "closed_at", "opened_at")]
            copied == [v[0], *v[3:]] or wrong(f"violation {v[0]}: its columns are not those of its record")
            accounts = {(v[0], a, v[-1]) for a in said["accounts"]}
            accounts <= named or wrong(f"violation {v[0]}: is not found by all its accounts")
            named -= accounts
        except (ValueError, KeyError, TypeError):
            wrong(f"violation {v[0]}: its record cannot be read")
    named and wrong("the table of accounts names more than the records do")
    for v in violations:
        wrong(f"violation {v}: is sealed and not in the log")
    there = {}
    for d in rows("SELECT number, violation, outcome, reason, reviewer, at, lower(hex(digest)), supersedes FROM decisions"):
        there["decision", str(d[0])] = dict(zip(("number", "violation", "outcome", "reason", "by", "at", "record", "supersedes"), d))
    for g in rows("SELECT generation, change, rules, lists, registry, config, engine FROM pins"):
        there["rules", str(g[0])] = dict(zip(("generation", "change", "rules", "lists", "registry", "config", "engine"), g))
    sealed = ("number", "at", "by", "reason", "account", "touched", "journal", "kept")
    for e in rows("SELECT number, at, name, reason, account, touched, journal, kept, done FROM erasures"):
        there["erasure", str(e[0])] = dict(zip(sealed, (*e[:5], *map(json.loads, e[5:8]))))
        e[8] or wrong(f"erasure {e[0]}: was begun and is not finished")
    acts = ("seq", "at", "actor", "name", "action", "act", "once", "reason", "details")
    for e in rows(f"SELECT {', '.join(acts)} FROM action_entries"):
        there["action", str(e[0])] = dict(zip(acts, e))
    for note in rows("SELECT number, kind, at, details FROM server_notes"):
        there[note[1], str(note[0])] = dict(zip(("number", "kind", "at", "details"), note))
    commit = last.get(("commit", "-"), (None, -1))[1]
    if commit > max((n for (kind, _), (_, n) in last.items() if kind == "rules"), default=-1):
        inputs = rows("SELECT name, content_hash, offset_bytes, n_lines, finished FROM inputs ORDER BY number, name")
        there["commit", "-"] = {
            "books": dict(rows("SELECT name, count FROM books ORDER BY name")),
            "inputs": [[*i[:4], bool(i[4])] for i in inputs],
            "journal": next((j for (j,) in rows("SELECT journal FROM checkpoint")), None),
        }
    for of, said in there.items():
        last.get(of, (None,))[0] == sha(canonical(said)) or wrong(f"{of[0]} {of[1]}: is not what its entry seals")
    for of in last.keys() - there.keys() - {("commit", "-")}:
        wrong(f"{of[0]} {of[1]}: is sealed and not in the log")

    # Decisions that were given, in batches: each sealed by the root over its rows.
    columns = "number at calls event call account api_key org decision would mode retry_after reason rules violations actions bundle".split()
    leaves = [(g[0], canonical(dict(zip(columns, g))).encode(), None) for g in rows(f"SELECT {', '.join(columns)} FROM decisions_given")]
    leaves = sorted(leaves + [(number, None, leaf) for number, leaf in rows("SELECT number, leaf FROM given_erased")], key=lambda l: l[0])
    n = 0
    for subject, digest in sorted(batches.items()):
        first, final = map(int, subject.split("-"))
        edge, root, k = [], None, 0
        while n < len(leaves) and first <= leaves[n][0] <= final:
            root, k, n = grow(edge, k, *leaves[n][1:]), k + 1, n + 1
        root == digest or wrong(f"given {subject}: its decisions are not those that are sealed")
    n == len(leaves) or wrong(f"given {leaves[n][0]}: no entry seals it")
    return len(roots) - 1

if __name__ == "__main__":
    try:
        entries = main(*sys.argv[1:])
    except (sqlite3.Error, AttributeError, TypeError, ValueError) as e:
        sys.exit(f"cannot be read: {e}")
    for problem in problems:
        print(problem)
    print(f"does NOT hold: {len(problems)} problems" if problems else f"holds: {entries} entries")
    sys.exit(bool(problems))
