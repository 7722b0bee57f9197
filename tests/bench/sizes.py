"""How large the timed problems are: `FULL` for the record, `QUICK` to see that all of it works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The base problem is (n, n_fine, all columns, `layers` layers); each sweep changes one."""

    n: int = 20_000
    n_fine: int = 600
    layers: int = 4
    repeats: int = 5
    points: tuple[int, ...] = (2500, 5000, 10_000, 20_000, 40_000, 60_000)
    batches: tuple[int, ...] = (150, 300, 600, 1200)
    widths: tuple[int, ...] = (80, 160, 320, 640)
    depths: tuple[int, ...] = (5, 10, 20, 40)
    depths_n: int = 5000
    ahead_n: tuple[int, ...] = (6000, 60_000)
    ahead: tuple[int, ...] = (1, 4, 10)
    ahead_layers: int = 20
    kept: tuple[int, ...] = (600, 6000)
    read: int = 10_000
    square: int = 4096
    stream: int = 2**26
    memory: tuple[int, ...] = (10_000, 20_000, 40_000, 60_000)
    ranks: tuple[int, ...] = (1, 2, 3)
    accuracy_layers: tuple[int, ...] = (0, 500)
    bars: tuple[tuple[str, int, int], ...] = (("mnist", 12_000, 30), ("fashion_mnist", 50_000, 150))
    carried: int = 10_000


FULL = Sizes()
QUICK = Sizes(
    n=600,
    n_fine=60,
    layers=2,
    repeats=2,
    points=(300, 600),
    batches=(30, 60),
    widths=(50, 100),
    depths=(2, 4),
    depths_n=300,
    ahead_n=(600,),
    ahead_layers=10,
    kept=(60, 120),
    read=200,
    square=256,
    stream=2**16,
    memory=(2000,),
    ranks=(2,),
    accuracy_layers=(0, 2),
    bars=(("mnist", 10, 30),),
    carried=100,
)
