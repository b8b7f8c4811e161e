"""Runs the configurations of examples/gateways with the real gateways against the model stub, and says what callers see.

    python3 .ci/gateways install                # what is not there yet; may run beside other work
    python3 .ci/gateways run --fineprint PATH   # all gateways; exits 1 where anything is not as expected
        --only nginx,caddy   --json FILE   --keep   --write-docs

Standard library only. Everything listens on loopback, on ports that are free; each process that is started is ended.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

sys.dont_write_bytecode = True

from bench import ROOT, Bench
from configured import GATEWAYS
from installed import install
from tables import answers, document, fail_modes


def run(arguments):
    wanted = [g for g in GATEWAYS if not arguments.only or g.folder in arguments.only.split(",")]
    install()
    bench = Bench(arguments)
    try:
        bench.start(wanted)
        # LiteLLM last: it takes longest to start.
        for gateway, (closed, opened) in sorted(zip(wanted, bench.pairs), key=lambda each: each[0].folder == "litellm"):
            try:
                bench.check(gateway, closed, opened)
            except Exception as error:
                bench.wrong.append(f"{gateway.name}: {type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}")
        # Last, since a record has some time to come.
        for found in bench.results:
            if found["gateway"] == "LiteLLM":
                bench.check_log(wanted[0], found)
        names = [gateway.name for gateway in GATEWAYS]
        bench.results.sort(key=lambda found: names.index(found["gateway"]))
    finally:
        bench.end()
    print("\n" + answers(bench.results) + "\n\n" + fail_modes(bench.results) + "\n")
    for found in bench.results:
        slow = {key: found[key]["slow"]["seconds"] for key in ("fail_closed", "fail_open")}
        if "log" in found:
            print(f"{found['gateway']}: log and decisions joined by call id: {found['log']}")
        print(f"{found['gateway']}: a slow Fineprint cost {slow['fail_closed']} s failing closed, {slow['fail_open']} s failing open")
    if len(bench.results) == len(GATEWAYS):
        bench.wrong += document(bench.results, arguments.write_docs)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(bench.results, indent=1) + "\n")
    for wrong in bench.wrong:
        print(f"wrong: {wrong}")
    print(f"gateways: {len(bench.results)} checked, {len(bench.wrong)} wrong")
    return 1 if bench.wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["install", "run"])
    parser.add_argument("--fineprint", type=Path, default=ROOT / "target/release/fineprint")
    parser.add_argument("--stand-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", help="folders of examples/gateways, with commas between")
    parser.add_argument("--json", help="where the results are written")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/gateways.md")
    arguments = parser.parse_args()
    arguments.fineprint = arguments.fineprint.resolve()
    if arguments.what == "install":
        return install()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
