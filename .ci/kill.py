#!/usr/bin/env python3
"""Kills a run (SIGKILL) at random points, again and again, and lets it go on: the log in the end must be that of a run that
nobody disturbed, byte for byte, and hold as sealed meanwhile. Arguments: fineprint, directory of traffic, rules, work directory,
undisturbed export, and how many kills (50)."""

import filecmp
import pathlib
import random
import signal
import subprocess
import sys
import time

fineprint, traffic, rules, work, undisturbed = sys.argv[1:6]
KILLS = int(sys.argv[6]) if len(sys.argv) > 6 else 50
rng = random.Random(20261124)
kills, whole, longest = 0, 0, 0.6


def command(db):
    return [
        fineprint, "run", "--exit-zero", "--format", "json", "--rules", rules, "--accounts", f"{traffic}/accounts.jsonl",
        "--lists", f"{traffic}/lists", "--commit-every", "2000", "--db", db, f"{traffic}/events.jsonl",
    ]


while kills < KILLS:
    db = f"{work}/killed-{whole}.db"
    whole += 1
    while True:
        run = subprocess.Popen(command(db), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # Once all kills are spent, and where the machine is too slow to get anywhere in between, it may run to its end.
        patience = None if kills >= KILLS else rng.uniform(0.02, longest)
        try:
            _, said = run.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.communicate()
            kills += 1
            if kills % 10 == 0:
                # A log that was killed before its first tables are there holds nothing yet.
                holds = subprocess.run([fineprint, "verify", "--db", db], capture_output=True, text=True)
                if holds.returncode and not (holds.returncode == 3 and any(w in holds.stderr for w in ("has schema 0", "no violation log"))):
                    sys.exit(f"after {kills} kills the log does not hold: {holds.stdout} {holds.stderr}")
            continue
        if run.returncode != 0:
            sys.exit(f"a run that was killed before ended with {run.returncode}: {said.decode()}")
        break
    subprocess.run([fineprint, "verify", "--db", db], check=True, stdout=subprocess.DEVNULL)
    export = f"{work}/killed.jsonl"
    subprocess.run([fineprint, "violations", "export", "--db", db, "--format", "jsonl", "--out", export], check=True, stderr=subprocess.DEVNULL)
    if not filecmp.cmp(export, undisturbed, shallow=False):
        sys.exit(f"after {kills} kills the log differs from that of an undisturbed run: {export}, {undisturbed}")
    pathlib.Path(db).unlink()
print(f"{kills} kills, {whole} runs that came to their end, every log as if nobody had disturbed it")
