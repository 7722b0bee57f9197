"""`python -m tests.stress inputs --count 100000 --seed 0`."""

import argparse
import sys

from tests.stress import inputs

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--case", type=int)
    a = parser.parse_args()
    if a.case is not None:
        name, call, twice = inputs.case(a.seed, a.case)
        print(name, call.said, {k: v for k, v in call.arguments.items()})
        print(inputs.judge(call, twice))
        try:
            call.run(**call.arguments)
        except Exception:
            import traceback

            traceback.print_exc()
        sys.exit()
    tally = inputs.run(a.seed, a.count, a.seconds)
    print(tally.total, {k: dict(v) for k, v in tally.counts.items()})
    for key, f in sorted(tally.found.items(), key=lambda i: -i[1]["times"]):
        print(f["times"], f["case"], f["why"], f["said"])
