"""Parameters in a YAML file, as they are given to a run: plain names with plain values."""

import re
from pathlib import Path

from kflow import checks
from kflow.figures.parameters import Value

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
LARGEST = 2**16  # bytes


def read(path: Path) -> dict[str, Value]:
    """The parameters in a YAML file, a mapping from names to values; 1e-3 is a number.

    YAML 1.1, which PyYAML reads, takes a number without a point or a sign of its exponent for text.
    """
    with checks.extra("notebooks"):
        import yaml

    class Loader(yaml.SafeLoader):
        """One that reads 1e-3 as YAML 1.2 does, and follows no aliases, which multiply."""

        def compose_node(self, parent, index):
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.YAMLError("parameters are plain values, without aliases (*)")
            return super().compose_node(parent, index)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is no file of parameters: it is larger than {LARGEST} bytes")
    try:
        found = yaml.load(path.read_text("utf-8"), Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from None
    found = {} if found is None else found
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{path} must map names to values, `layers: 100`, not hold {found!r}")
    return found
