"""Run every measurement and write bench/results/latest.json."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import cockpit, decision, living, priorities, report, resume, throughput, triggers
from bench.cockpit import RESULTS
from bench.places import place


def help_seconds(rounds: int = 9) -> float:
    """Median time of `remit --help` as a whole process, in seconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "remit", "--help"], check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken), 3)


def machine() -> dict[str, Any]:
    """What these figures were taken on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    """Measure, print, write."""
    found: dict[str, Any] = {"machine": machine()}
    steps = [("decision_p50_ms", lambda _: decision.measure()), ("help_s", lambda _: help_seconds())]
    with place() as here:
        for name, measure in [
            *steps,
            ("throughput", throughput.measure),
            ("waiting", living.waiting),
            ("stop", living.stopping),
            ("failover", living.failover),
            ("resume", resume.resuming),
            ("triggers", triggers.measure),
            ("priorities", lambda _: priorities.measure()),
            ("cockpit", cockpit.measure),
        ]:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            value = measure(here)
            if name == "throughput":
                found |= value
            else:
                found[name] = value
            print(json.dumps({name: value}, indent=2), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    report.write(found)
    print(f"written to {RESULTS.relative_to(Path.cwd())}", file=sys.stderr)


if __name__ == "__main__":
    main()
