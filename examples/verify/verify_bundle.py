#!/usr/bin/env python3
"""Verifies a bundle of evidence without Fineprint: standard library only, Ed25519 from verify_log.py beside it.

    verify_bundle.py CASE.zip [PUBLIC-KEY or its file [KEPT-CHECKPOINT]]     exit 0: it holds; 1: what does not is named

Every byte of the zip (container, MANIFEST under the log's key, each file), and each record, decision, act and rule set against
its entry in the log's tree. It does not compute findings again.
"""
import base64, json, os, re, struct, sys, zlib

sys.dont_write_bytecode = True
from verify_log import sha, signed

FILE_MAX, TOTAL_MAX, FILES_MAX = 128 << 20, 256 << 20, 20_000
SEALED = {"violations.jsonl": ("violation", "id"), "decisions.jsonl": ("decision", "number"),
          "actions.jsonl": ("action", "seq"), "rulesets.jsonl": ("rules", "generation")}

problems = []
def wrong(what):
    problems.append(what)

def unpack(zip):
    """Names in order, and of each file its content and its bytes in the zip. The container has one form alone."""
    files, order, at, total = {}, [], 0, 0
    if len(zip) < 22:
        return wrong("the zip: is cut off") or (order, files)
    n, size, offset = struct.unpack("<10xH2I2x", zip[-22:])
    end = struct.pack("<4s4x2H2I2x", b"PK\5\6", n, n, size, offset)
    if zip[-22:] != end or offset + size + 22 != len(zip) or n > FILES_MAX:
        return wrong("the zip: its end record") or (order, files)
    place = offset
    for _ in range(n):
        if place + 46 > offset + size:
            return wrong("the zip: its directory is cut off") or (order, files)
        method, crc, packed, length, chars = struct.unpack("<10xH4x3IH16x", zip[place : place + 46])
        name = zip[place + 46 : place + 46 + chars]
        common = struct.pack("<2H2H H3IHH", 20, 0, method, 0, 0x21, crc, packed, length, chars, 0)
        if zip[place : place + 46 + chars] != b"PK\1\2\x14\0" + common + struct.pack("<10xI", at) + name or method not in (0, 8):
            wrong(f"{name!r}: its entry in the directory")
        parts = name.decode("ascii", "replace").split("/")
        if len(name) > 200 or not all(re.fullmatch(r"[A-Za-z0-9._-]+", p) and p.strip(".") for p in parts):
            return wrong(f"{name!r}: is no name of a file of a bundle") or (order, files)
        name = name.decode()
        if zip[at : at + 30 + chars] != b"PK\3\4" + common + name.encode():
            wrong(f"{name}: its header")
        name in files and wrong(f"{name}: is there twice")
        at, place, total = at + 30 + chars + packed, place + 46 + chars, total + length
        if at > offset or length > FILE_MAX or total > TOTAL_MAX:
            return wrong(f"{name}: is longer than it may be") or (order, {})
        raw = content = zip[at - packed : at]
        (name, method) == ("MANIFEST", 8) and wrong("MANIFEST: is deflated")
        if method == 8:
            try:
                inflate = zlib.decompressobj(-15)
                content = inflate.decompress(raw, length + 1)
                (inflate.eof and not inflate.unused_data) or wrong(f"{name}: bytes behind or missing")
            except zlib.error as e:
                wrong(f"{name}: {e}")
        len(content) == length and zlib.crc32(content) == crc or wrong(f"{name}: is not the content of its checksum")
        order.append(name)
        files.setdefault(name, (content, raw))
    (at, place) == (offset, len(zip) - 22) or wrong("the zip: bytes that belong to no file")
    return order, files

def plain64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 in another spelling")
    return data

def note(data, key, only=False):
    """The text of a signed note; None where the key has not signed it."""
    name, identity, public = key.split("+", 2)
    public = plain64(public)
    if public[0] != 1 or sha(f"{name}\n".encode() + public)[:4].hex() != identity:
        raise ValueError("no public key")
    text, between, lines = data.decode().rpartition("\n\n")
    text += "\n"
    held = []
    for line in lines.removesuffix("\n").split("\n"):
        dash, signer, blob = line.split(" ")
        blob = plain64(blob)
        if (dash, signer, blob[:4].hex()) == ("\u2014", name, identity):
            held.append(signed(public[1:], text.encode(), blob[4:]))
        elif only:
            return None
    ok = between and lines.endswith("\n") and held and all(held) and not (only and len(held) > 1)
    return text if ok else None

def included(leaf, at, size, path, root):
    last = size - 1
    if at > last:
        return False
    for p in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            leaf = sha(b"\1" + p + leaf)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            leaf = sha(b"\1" + leaf + p)
        at, last = at >> 1, last >> 1
    return last == 0 and leaf == root

def grown(old, old_root, size, root, path):
    if old == size:
        return not path and old_root == root
    path = list(path)
    before = now = old_root if old & (old - 1) == 0 else path.pop(0) if path else b""
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    for p in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, now = sha(b"\1" + p + before), sha(b"\1" + p + now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = sha(b"\1" + now + p)
        at, last = at >> 1, last >> 1
    return last == 0 and (before, now) == (old_root, root)

def checkpoint(text):
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), plain64(root)

def main(path, key=None, kept=None):
    if key and os.path.isfile(key):
        key = open(key).read().strip()
    order, files = unpack(open(path, "rb").read())
    if "MANIFEST" not in files:
        return wrong("MANIFEST: is missing")
    try:
        lines = files["MANIFEST"][0].decode().rpartition("\n\n")[0].split("\n")
        lines[0] == "fineprint bundle 1" or wrong("MANIFEST: is none")
        head = dict(line.split(" ", 1) for line in lines[1:] if not line.startswith("file "))
        key in (None, head["key"]) or wrong("MANIFEST: names another key")
        key = key or head["key"]
        note(files["MANIFEST"][0], key, only=True) is None and wrong("MANIFEST: its signature does not hold")
        size, root = int(head["size"]), plain64(head["root"])
        listed = [line.split(" ", 4)[1:] for line in lines if line.startswith("file ")]
    except (ValueError, IndexError, KeyError) as e:
        return wrong(f"MANIFEST: cannot be read: {e}")
    order == ["MANIFEST"] + [f[3] for f in listed] or wrong("the zip: its files are not those of MANIFEST, in its order")
    for digest, packed, length, name in listed:
        content, raw = files.get(name, (b"", b""))
        (sha(content).hex(), sha(raw).hex(), str(len(content))) == (digest, packed, length) or wrong(f"{name}: was altered")
    rows = lambda name: files.get(name, (b"",))[0].decode().split("\n")[:-1]
    try:
        text = note(files["checkpoint"][0], key)
        text and checkpoint(text) == (key.split("+")[0], size, root) or wrong("checkpoint: its signature does not hold")
        held, growth = set(), {}
        for line in rows("proofs.jsonl"):
            p = json.loads(line)
            path = [plain64(h) for h in p["path"]]
            if "grown_from" in p:
                growth[p["grown_from"]] = path
                continue
            text, name = p["subject"], p.get("file")
            if name is not None:
                text = rows(name)[p["line"] - 1]
                kind, of = SEALED[name]
                (kind, str(json.loads(text)[of])) == (p["kind"], p["subject"]) or wrong(f"{p['subject']}: is another line")
                held.add((name, p["line"]))
            elif p["kind"] != "key":
                wrong(f"{p['subject']}: no line is named")
            sha(text).hex() == p["digest"] or wrong(f"{p['kind']} {p['subject']}: is not what entry {p['seq']} seals")
            leaf = f"fineprint entry 1\n{p['seq']}\n{p['kind']}\n{p['subject']}\n{p['digest']}\n"
            included(sha(b"\0" + leaf.encode()), p["seq"], size, path, root) or wrong(f"{p['kind']} {p['subject']}: its proof")
        if head["level"] in ("authority", "internal"):
            for name in SEALED:
                for n in range(1, len(rows(name)) + 1):
                    (name, n) in held or wrong(f"{name}: line {n} is not proved")
            for name in files:
                rule = re.fullmatch(r"rules/(.*)\.txt", name)
                rule and sha(files[name][0]).hex() != rule[1] and wrong(f"{name}: is not the text of its hash")
        if kept:
            text = note(open(kept, "rb").read(), key)
            _, old, old_root = checkpoint(text)
            grown(old, old_root, size, root, growth.get(old, [])) or wrong(f"{kept}: the log did not grow out of it, as far as is shown")
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as e:
        wrong(f"the bundle: cannot be read: {e!r}")
    return f"{len(files)} files, level {head['level']}, over a log of {size} entries"

if __name__ == "__main__":
    told = main(*sys.argv[1:])
    for problem in problems:
        print(problem)
    print(f"does NOT hold: {len(problems)} problems" if problems else f"holds: {told}")
    sys.exit(bool(problems))
