"""What was found, as docs/gateways.md shows it. Nothing in these tables would be otherwise on a busy machine."""

from bench import ROOT, STATES

DOCS = ROOT / "docs/gateways.md"


def table(headings, rows):
    widths = [max(len(str(row[at])) for row in [headings, *rows]) for at in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(str(c).ljust(w) for c, w in zip(line, widths)) + " |" for line in lines)


def yes(b):
    return "yes" if b else "no"


def fail_modes(results):
    rows = []
    for found in results:
        for key, words in [("fail_closed", "closed"), ("fail_open", "open")]:
            rows.append([found["gateway"], words] + [found[key][state]["status"] for state in STATES])
    return table(["gateway", "fails", "Fineprint down", "slow", "503"], rows)


def answers(results):
    rows = [
        [f["gateway"], f["version"], f["allowed"], f["streamed"], f["shadow"], f["refused"], f["throttled"], yes(f["retry_after"]),
         yes(f["sees_agent"]), yes(f["sees_prompt"]), {"direct": "yes", "told": "from `X-Forwarded-For`"}.get(f["sees_address"], f["sees_address"])]
        for f in results
    ]
    heads = ["gateway", "version", "allowed", "streamed", "shadow", "blocked", "throttled", "`Retry-After`", "sees headers", "sees the prompt", "sees the address"]
    return table(heads, rows)


def document(results, write):
    """Holds the tables of the document against what was found."""
    text = DOCS.read_text() if DOCS.exists() else ""
    wrong = []
    for name, made in [("answers", answers(results)), ("fail modes", fail_modes(results))]:
        begin, end = f"<!-- {name}: written by .ci/gateways -->\n", f"\n<!-- end of {name} -->"
        if begin not in text or end not in text:
            wrong.append(f"docs/gateways.md has no table of {name}")
            continue
        head, rest = text.split(begin, 1)
        old, tail = rest.split(end, 1)
        if old != made:
            wrong.append(f"docs/gateways.md: the table of {name} is not what was found")
            text = head + begin + made + end + tail
    if write and text:
        DOCS.write_text(text)
        return []
    return wrong
