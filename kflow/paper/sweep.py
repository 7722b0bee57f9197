"""A record that is made result by result: what it holds is kept, what is missing is measured."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kflow.figures import provenance
from kflow.paper.record import write


def sweep(
    path: Path,
    header: dict,
    wanted: Mapping[str, Callable[[], dict | None]],
    line: Callable[[dict], str],
    key: Callable[[dict], str] | None = None,
) -> dict:
    """Measure what the record at path does not hold yet, in the order of `wanted`; the record.

    `wanted` gives by name how each result is measured; None is one that cannot be made here. The
    record is the header with `parts`, results by name; or with `runs`, a list, where key(result)
    is its name. It is written after every result. How many it held of another header, or under
    names that are not wanted, which the next writing leaves out, is said; `line` is a result in
    words.
    """
    header, found = json.loads(json.dumps(header)), {}
    if path.is_file():
        saved = json.loads(path.read_text())
        held = {key(run): run for run in saved["runs"]} if key else saved["parts"]
        same = all(saved.get(name) == value for name, value in header.items())
        found = {name: held[name] for name in wanted if same and name in held}
        if left := len(held) - len(found):
            print(f"{path.stem}: {left} results of other settings are left out", file=sys.stderr)
    for position, (name, measure) in enumerate(wanted.items(), 1):
        if name in found or (result := measure()) is None:
            continue
        made = {"commit": provenance.commit(), "hardware": provenance.hardware()}
        found[name] = result | made
        write(path, header | _packed(found, wanted, key))
        told = f"{path.stem} {position}/{len(wanted)}  {line(found[name])}"
        print(told, file=sys.stderr, flush=True)
    return header | _packed(found, wanted, key)


def _packed(found: dict, wanted, key) -> dict:
    ordered = {name: found[name] for name in wanted if name in found}
    return {"runs": list(ordered.values())} if key else {"parts": ordered}
