"""Calls with anything in any order: what `tests/call/machine/test_any_order.py` does, for longer.

Run by `make soak`. Exit status 1 means that something did not hold; what is printed then runs again, made smaller, with
`world.run(bytes.fromhex(...))`.

    python bench/orders.py [--sequences N] [--seed N]
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "call" / "machine"))

import world


def main() -> int:
    """Run them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--longest", type=int, default=120, help="things that happen in one sequence, at most")
    asked = parser.parse_args()
    logging.getLogger("realtime_sip").addHandler(logging.NullHandler())  # its warnings are what is expected here
    rng, ends, steps, faults = random.Random(asked.seed), Counter[str](), 0, Counter[str]()
    print(f"{asked.sequences} sequences, seed {asked.seed}")
    began = time.monotonic()
    for _ in range(asked.sequences):
        data = rng.randbytes(world.SIZE * rng.randint(8, asked.longest))
        try:
            lived = world.run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            what = _named(error)
            faults[what] += 1
            if faults[what] == 1:
                data = world.smaller(data, lambda tried, what=what: _fault(tried) == what)
                print(f"{error!r:.600}\n    world.run(bytes.fromhex({data.hex()!r}))", flush=True)
            continue
        steps += lived.steps
        ends[lived.s.ended.reason.value if lived.s.ended else "accept refused"] += 1
    seconds = time.monotonic() - began
    print(f"{steps} steps in {seconds:.0f} s; ended: {', '.join(f'{why} {n}' for why, n in ends.most_common())}")
    print(f"{faults.total()} faults" if faults else "no faults")
    return 1 if faults else 0


def _named(error: Exception) -> str:
    return f"{type(error).__name__} {str(error)[:25]}"


def _fault(data: bytes) -> str:
    try:
        world.run(data)
    except Exception as error:  # noqa: BLE001
        return _named(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
