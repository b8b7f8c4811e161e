#!/usr/bin/env python3
"""What simpler detectors find on a labelled stream: per-account thresholds, SimHash of whole prompts, naive union-find.

    baselines.py DIR        DIR holds events.jsonl and labels_accounts.csv, as `fineprint simulate --out DIR` writes them

Printed for each detector: campaigns of which half of the accounts are named, accounts of campaigns named, precision (named
accounts of campaigns among all named), innocent accounts named. Owners of stolen keys count on neither side.
SimHash: 64 bits over words, each counted once a prompt (Charikar 2002); prompts within 3 bits of a leader are one group
(four bands of 16 bits, as Manku et al. 2007 index them). Standard library only.
"""
import collections, csv, hashlib, json, os, sys

LANES, WIDTH = 64, 12                       # counters of a SimHash, packed into one integer
BIAS = sum(1 << (WIDTH * i) for i in range(LANES))


def read(directory):
    labels = {r['account']: r for r in csv.DictReader(open(os.path.join(directory, 'labels_accounts.csv')))}
    events = []
    with open(os.path.join(directory, 'events.jsonl')) as f:
        for line in f:
            e = json.loads(line)
            if e.get('type') == 'completion' and e.get('account'):
                events.append((e['account'], e.get('org'), e['ts'][:10], e.get('ip'), e.get('payment_fingerprint'), e.get('prompt') or ''))
    return labels, events


def told(name, labels, named):
    campaign = {a: r['campaign'] for a, r in labels.items() if r['label'] == 'adversary'}
    innocent = {a for a, r in labels.items() if r['label'] in ('benign', 'lookalike')}
    members = collections.defaultdict(set)
    for account, c in campaign.items():
        members[c].add(account)
    hit = set(campaign) & named
    wrong = innocent & named
    found = sum(1 for m in members.values() if len(m & named) * 2 >= len(m))
    precision = len(hit) / max(1, len(hit) + len(wrong))
    print('%-58s %4d of %-4d %9.2f %10.2f %9d' % (name, found, len(members), len(hit) / max(1, len(campaign)), precision, len(wrong)))


def thresholds(events):
    days = collections.Counter((account, day) for account, _, day, *_ in events)
    for bound in (100, 300, 1000):
        yield 'more than %d requests of an account in a day' % bound, {a for (a, _), n in days.items() if n > bound}


def simhash(text, cache={}):
    total, n = 0, 0
    for word in set(text.lower().split()):
        lanes = cache.get(word)
        if lanes is None:
            bits = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), 'big')
            lanes = cache[word] = sum(1 << (WIDTH * i) for i in range(LANES) if bits >> i & 1)
        total += lanes
        n += 1
    mask = (1 << WIDTH) - 1
    return sum(1 << i for i in range(LANES) if (total >> (WIDTH * i) & mask) * 2 > n)


def near(events):
    leaders, bands = [], [collections.defaultdict(list) for _ in range(4)]
    seen, groups = {}, collections.defaultdict(set)
    for account, org, *_, prompt in events:
        if len(prompt) < 20:
            continue
        key = hash(prompt)
        leader = seen.get(key)
        if leader is None:
            h = simhash(prompt)
            for b, band in enumerate(bands):
                for candidate in band[h >> (16 * b) & 0xffff][:200]:
                    if (leaders[candidate] ^ h).bit_count() <= 3:
                        leader = candidate
                        break
                if leader is not None:
                    break
            if leader is None:
                leader = len(leaders)
                leaders.append(h)
                for b, band in enumerate(bands):
                    band[h >> (16 * b) & 0xffff].append(leader)
            seen[key] = leader
        groups[leader].add((account, org))
    for bound in (5, 20):
        named = {a for g in groups.values() if len({o for _, o in g}) >= bound for a, _ in g}
        yield 'whole prompts alike (SimHash, 3 bits) of %d organisations' % bound, named


def union(events, cap):
    holders = collections.defaultdict(set)
    orgs = {}
    for account, org, _, ip, card, prompt in events:
        orgs[account] = org
        for family, value in (('ip', ip), ('card', card), ('prompt', hash(prompt) if len(prompt) >= 20 else None)):
            if value is not None:
                holders[family, value].add(account)
    parent = {a: a for a in orgs}

    def find(a):
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a
    for accounts in holders.values():
        if cap is None or len(accounts) <= cap:
            first, *rest = accounts
            for other in rest:
                parent[find(other)] = find(first)
    components = collections.defaultdict(set)
    for a in orgs:
        components[find(a)].add(a)
    return {a for c in components.values() if len({orgs[x] for x in c}) >= 5 for a in c}


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        sys.exit(__doc__)
    labels, events = read(sys.argv[1])
    print('%-58s %12s %9s %10s %9s' % ('', 'campaigns', 'accounts', 'precision', 'innocent'))
    for name, named in thresholds(events):
        told(name, labels, named)
    for name, named in near(events):
        told(name, labels, named)
    told('union over any shared address, card or prompt, 5 or more', labels, union(events, None))
    told('the same, values of more than 25 accounts ignored', labels, union(events, 25))


if __name__ == '__main__':
    main()
