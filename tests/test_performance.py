"""The cost of a layer: tables of a record, the power law, the plan for many machines."""

import numpy as np
import pytest
import torch

import kflow
from kflow import paper
from kflow.engine import transport
from kflow.paper.performance import Machine, Plan, exponent, flop, part
from tests.site import ROOT

RECORD = {
    "rows": [
        {"part": "points", "case": "kflow", "n": 10, "seconds": 1.0},
        {"part": "points", "case": "torch", "n": 20, "seconds": 2.0},
        {"part": "memory", "case": "kflow", "bytes": 3},
    ]
}
MACHINE = Machine(rate=1e11, game=0.02, hop=1e-5, network=1e9)


def test_a_part_has_its_own_rows_and_columns_and_whole_numbers_stay_whole():
    found = part(RECORD, "points")
    assert list(found.columns) == ["case", "n", "seconds"] and found["n"].dtype == int
    assert part(RECORD, "points", case="torch")["n"].tolist() == [20]


@pytest.mark.parametrize(("name", "facts"), [("times", {}), ("points", {"n": 30})])
def test_a_part_that_is_not_there_is_named(name, facts):
    with pytest.raises(ValueError, match="its parts: memory, points"):
        part(RECORD, name, **facts)


def test_the_exponent_of_a_power_law_is_found():
    sizes = np.array([1.0, 3.0, 10.0])
    assert exponent(sizes, 7 * sizes**1.5) == pytest.approx(1.5)


def test_a_transport_is_two_products_of_n_by_n_fine_by_d():
    # 2 flop for each of the n * m * d multiply-and-adds of x z^T, and as many for K c
    assert flop(3, 5, 7) == 2 * (3 * 5 * 7) + 2 * (3 * 7 * 5)


def test_one_rank_exchanges_nothing_and_many_nearly_a_batch_per_layer():
    assert Plan(1e6, ranks=1).sent == 0
    assert Plan(1e6, ranks=10**6).sent == pytest.approx(600 * (4 * 784 + 80), rel=1e-5)


def test_only_the_transport_is_shared_among_ranks():
    one, ten = (Plan(1e7, ranks=r).seconds(MACHINE) for r in (1, 10))
    assert ten.transport == pytest.approx(one.transport / 10)
    assert (ten.game, ten.ahead) == (one.game, one.ahead)
    assert one.exchange == 0 < ten.exchange
    assert ten.total == pytest.approx(ten.transport + ten.ahead + ten.game + ten.exchange)


def test_without_look_ahead_no_point_moves_twice_and_every_layer_pays_all_hops():
    often, seldom = (Plan(1e7, 100, lookahead=ahead).seconds(MACHINE) for ahead in (1, 10))
    assert often.ahead == 0 < seldom.ahead
    assert often.exchange - seldom.exchange == pytest.approx(99 * MACHINE.hop * (1 - 1 / 10))


def test_the_points_that_move_ahead_are_those_that_the_engine_moves(monkeypatch):
    n, n_fine, layers = 4000, 10, 10
    moved, move = [], transport.Mover.move

    def counted(mover, points, *arguments):
        moved.append(len(points))
        move(mover, points, *arguments)

    monkeypatch.setattr(transport.Mover, "move", counted)
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 3, generator=rng), torch.ones(n, 1)
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), n_fine, kflow.MaxDisplacement(0.1), 1e-2)
    flow.run(x, y, layers, rng, lookahead=layers)
    ahead = sum(rows for rows in moved if rows < n) / layers
    plan = Plan(n, n_fine=n_fine, d=3, lookahead=layers).seconds(MACHINE).ahead
    assert flop(ahead, n_fine, 3) / MACHINE.rate == pytest.approx(plan, rel=0.05)


def test_memory_counts_the_points_of_a_rank_by_hand():
    # 4 points on 2 ranks: 2 points of 3 float32 columns, twice, and of 1 float64 label
    assert Plan(4, ranks=2, d=3, outputs=1).bytes(copies=2) == 2 * (2 * 4 * 3 + 8)


def test_the_committed_record_is_of_the_full_size():
    found = paper.read_record("performance", ROOT)
    assert found is None or not found[0]["quick"], "make bench, on an idle machine"
