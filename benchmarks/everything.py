"""Every benchmark, one after the other, and the page of their results; give it a quiet machine.

    pip install pythae==0.1.2 --no-deps && pip install imageio tqdm
    python benchmarks/everything.py [--threads 2] [--quick]

Each script writes its part of ``benchmarks/results.json``; then ``benchmarks/RESULTS.md`` and its plot are made anew.
Exit 1 if a script failed or, where it judges, saw a bar missed; the others still run. ``--quick`` sees that all work, in
minutes, and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = ("training.py", "nll.py", "decoded_cache.py", "startup.py")
QUICK = {
    "training.py": ["--rounds", "2", "--steps", "4"],
    "nll.py": ["--rounds", "2", "--images", "2", "--samples", "4"],
    "decoded_cache.py": ["--speed-images", "500", "--memory-images", "2000", "--rounds", "2"],
    "startup.py": ["--repeats", "2"],
}


def main() -> int:
    """Runs them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of torch")
    parser.add_argument(
        "--quick", action="store_true", help="see that all work; the numbers mean nothing and are not kept"
    )
    arguments = parser.parse_args()
    if find_spec("pythae") is None:
        parser.error("pythae is absent; pip install pythae==0.1.2 --no-deps && pip install imageio tqdm")
    failed: list[str] = []
    for script in SCRIPTS:
        more = QUICK[script] if arguments.quick else ["--write"]
        threads = [] if script == "startup.py" else ["--threads", str(arguments.threads)]
        sys.stdout.write(f"{script} …\n")
        sys.stdout.flush()
        start = time.perf_counter()
        code = subprocess.run([sys.executable, HERE / script, *threads, *more], check=False).returncode
        sys.stdout.write(f"{script}: {'done' if code == 0 else f'exit {code}'}, {time.perf_counter() - start:.0f} s\n")
        if code:
            failed.append(script)
    if not arguments.quick:
        subprocess.run([sys.executable, HERE / "report.py"], check=True)
    return int(bool(failed) and not arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
