#!/usr/bin/env python3
"""How far a campaign must adapt before the shipped rules lose it, and what that costs.

    attacker.py FINEPRINT RULES [--seeds 3] [--background 300]

For each way to adapt, and for several at once, campaigns are simulated with `FINEPRINT simulate` (every template-bearing
kind, some seeds), run through RULES, and held against the truth: campaigns of which half of the accounts are named, accounts
named, and innocent accounts named. What it costs is counted in the stream: accounts, and different cards and network
addresses, for 1,000 answers, as a multiple of what the same campaigns need that do not adapt. Standard library only.
"""
import argparse, collections, csv, json, os, subprocess, tempfile

KINDS = ['self-instruct', 'answer-harvest', 'hydra', 'hydra-residential', 'reasoning', 'rubric-grading', 'low-and-slow', 'astroturf']
STEPS = [
    ('as it is', []),
    ('half the rate', ['--rate-factor', '0.5']),
    ('a fifth of the rate', ['--rate-factor', '0.2']),
    ('10 % of words replaced', ['--substitute', '10']),
    ('20 % of words replaced', ['--substitute', '20']),
    ('40 % of words replaced', ['--substitute', '40']),
    ('twelve templates', ['--templates', '12']),
    ('40 % ordinary chat between', ['--cover', '40']),
    ('links rotated', ['--rotate-links']),
    ('links rotated, 20 % replaced', ['--rotate-links', '--substitute', '20']),
    ('links rotated, 40 % replaced', ['--rotate-links', '--substitute', '40']),
    ('the same, half the rate', ['--rotate-links', '--substitute', '40', '--rate-factor', '0.5']),
    ('the same, twelve templates', ['--rotate-links', '--substitute', '40', '--rate-factor', '0.5', '--templates', '12']),
    ('the same, a fifth of the rate', ['--rotate-links', '--substitute', '40', '--rate-factor', '0.2', '--templates', '12']),
]


def run(binary, rules, flags, seed, background, out):
    subprocess.run([binary, 'simulate', '--campaign', ','.join(KINDS), '--background', str(background), '--seed', str(seed), '--force', '--out', out] + flags,
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = subprocess.run([binary, 'run', '--exit-zero', '--rules', rules, '--accounts', out + '/accounts.jsonl', '--lists', out + '/lists', out + '/events.jsonl'],
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    labels = {r['account']: r for r in csv.DictReader(open(out + '/labels_accounts.csv'))}
    named = set()
    for line in log.splitlines():
        v = json.loads(line)
        if v['status'] not in ('exempted', 'merged') and v['severity'] != 'info':
            named.update(v['accounts'])
    attack = {r['id'] for r in csv.DictReader(open(out + '/labels_events.csv')) if r['role'] == 'attack'}
    members = collections.defaultdict(set)
    for a, r in labels.items():
        if r['label'] == 'adversary':
            members[r['campaign']].add(a)
    used = {'accounts': set(), 'cards': set(), 'addresses': set()}
    answers = 0
    for line in open(out + '/events.jsonl'):
        e = json.loads(line)
        if e['id'] in attack:
            answers += 1
            used['accounts'].add(e['account'])
            used['cards'].add(e.get('payment_fingerprint'))
            used['addresses'].add(e.get('ip'))
    found = {labels[next(iter(m))]['family']: 2 * len(m & named) >= len(m) for m in members.values()}
    accounts = set().union(*members.values())
    innocent = {a for a, r in labels.items() if r['label'] in ('benign', 'lookalike')} & named
    return found, len(accounts & named), len(accounts), len(innocent), {k: 1000 * len(v) / max(1, answers) for k, v in used.items()}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('fineprint'); ap.add_argument('rules'); ap.add_argument('--seeds', type=int, default=3); ap.add_argument('--background', type=int, default=300)
    a = ap.parse_args()
    print('%-32s %10s %9s %9s   %s   %s' % ('', 'campaigns', 'accounts', 'innocent', 'accounts/cards/addresses per answer, as a multiple', 'lost'))
    base = None
    with tempfile.TemporaryDirectory() as tmp:
        for name, flags in STEPS:
            hits = total = named = accounts = innocent = 0
            cost, lost = collections.Counter(), collections.Counter()
            for seed in range(1, a.seeds + 1):
                found, n, m, wrong, used = run(a.fineprint, a.rules, flags, seed, a.background, os.path.join(tmp, 'stream'))
                hits += sum(found.values()); total += len(found); named += n; accounts += m; innocent += wrong
                cost.update(used); lost.update(f for f, ok in found.items() if not ok)
            base = base or cost
            times = '%.1f / %.1f / %.1f' % tuple(cost[k] / base[k] for k in ('accounts', 'cards', 'addresses'))
            print('%-32s %4d of %-3d %8.2f %9d   %-50s   %s' % (name, hits, total, named / max(1, accounts), innocent, times, ', '.join('%s %d' % x for x in lost.most_common())), flush=True)


if __name__ == '__main__':
    main()
