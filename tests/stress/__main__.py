"""`python -m tests.stress inputs --count 100000 --seed 0`; --case N shows one case again."""

import argparse
import time

import torch

from tests.stress import endurance, faults, files, inputs, record

PARTS = ("inputs", "files", "faults", "endurance")


def main():
    """Try the parts that are asked for, and write their records."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("part", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--seconds", type=float, default=None, help="for inputs and files, each")
    parser.add_argument("--count", type=int, help="of inputs, of files, of kills or of layers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="show this case of inputs or files, and its end")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.case is not None:
        print(*(files if asked.part == "files" else inputs).try_case(asked.seed, asked.case))
        return
    if asked.part in ("inputs", "files", "all") and asked.count is None and asked.seconds is None:
        asked.seconds = 600.0
    for part in PARTS if asked.part == "all" else [asked.part]:
        began = time.monotonic()
        PART[part](asked, lambda tally, part=part, began=began, **more: record.write(
            part, tally, time.monotonic() - began, **more
        ))  # fmt: skip
        print(f"{part}: {time.monotonic() - began:.0f} s")


def _inputs(asked, write):
    write(inputs.run(asked.seed, asked.count, asked.seconds, write))


def _files(asked, write):
    write(files.run(asked.seed, asked.count, asked.seconds))


def _faults(asked, write):
    kills = asked.count or 200
    write(faults.tally(asked.seed, kills, max(1, kills // 10), max(1, kills // 10)))


def _endurance(asked, write):
    tally, curves = endurance.tally(asked.seed, asked.count or 20_000)
    write(tally, **curves)


PART = {"inputs": _inputs, "files": _files, "faults": _faults, "endurance": _endurance}

if __name__ == "__main__":
    main()
