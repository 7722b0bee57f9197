"""Points shared among processes move as they do in one."""

import hashlib
import json
import multiprocessing
import os
import socket
import time
import traceback

import numpy as np
import pytest
import torch
import torch.distributed as dist

import kflow
from kflow.engine import fingerprint, shards
from kflow.engine.sharded_checkpoint import ShardedCheckpoint

N, M = 41, 7


def problem(dtype=torch.float64):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, 3, generator=rng, dtype=torch.float64)
    rest = torch.ones(N, 2, dtype=torch.float64)  # one column stays, one stays but on the last rank
    rest[-1, 1] = 0.5
    x = torch.cat([x, rest], 1).to(dtype)
    y = torch.nn.functional.one_hot(torch.arange(N) % 4, 4).double()
    return x, y, x[:M] + 0.5


def run(x, y, carry, group=None, layers=20, **options):
    settings = dict(n_fine=10, step=kflow.MaxDisplacement(0.05), nugget=1e-3, precision="float64")
    settings |= {name: options.pop(name) for name in list(options) if name in settings}
    flow = kflow.KernelFlow(kflow.Gaussian(1.5), **settings)
    rng = torch.Generator().manual_seed(options.pop("seed", 1))
    return flow.run(x, y, layers, rng, carry=carry, group=group, **options)


def own(group):
    x, y, carry = problem()
    mine, carried = shards.part(N, group), shards.part(M, group)
    return x[mine], y[mine], carry[carried]


def _begin(rank, world, meeting, work, arguments, answers):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=world)
    try:
        answer = work(dist.group.WORLD, *arguments)
    except Exception as error:
        answer = error if isinstance(error, (ValueError, OSError, ArithmeticError)) else None
        answer = answer or RuntimeError(traceback.format_exc())
    answers.put((rank, answer))
    if not isinstance(answer, shards.RankLost):
        dist.destroy_process_group()


def on_ranks(world, folder, work, *arguments):
    """What work(group, *arguments) returns, or the exception it raises, on each of the ranks."""
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    meeting = folder / f"meeting-{work.__name__}-{world}"
    ranks = [
        spawn.Process(target=_begin, args=(r, world, meeting, work, arguments, answers))
        for r in range(world)
    ]
    for process in ranks:
        process.start()
    found = dict(answers.get(timeout=120) for _ in ranks)
    for process in ranks:
        process.join(timeout=30)
    return [found[r] for r in range(world)]


def _flow(group, options):
    path = run(*own(group), group, **options)
    new = torch.ones(2, 5, dtype=torch.float64)
    moved = path.transform(new) if path.layers is not None else None
    gather = [shards.Shards.of(len(p), group).gather(p) for p in (path.points, path.carried)]
    return [t.numpy() for t in (*gather, path.rho, path.eps)], moved is not None and moved.numpy()


@pytest.mark.parametrize("world", [2, 3])
def test_shared_points_move_as_in_one_process(tmp_path, world):
    options = dict(lookahead=4, keep_layers=True)
    alone = run(*problem(), **options)
    for found, moved in on_ranks(world, tmp_path, _flow, options):
        for one, other in zip(
            (alone.points, alone.carried, alone.rho, alone.eps), found, strict=True
        ):
            torch.testing.assert_close(one, torch.from_numpy(other), rtol=1e-12, atol=1e-12)
        new = alone.transform(torch.ones(2, 5, dtype=torch.float64))
        torch.testing.assert_close(new, torch.from_numpy(moved), rtol=1e-12, atol=1e-12)


def _ended(group):
    def observe(state):
        return {"stop": group.rank() == 1} if state.layer else {}

    path = run(*own(group), group, observe=observe, observe_at=(0, 4, 8))
    return len(path.rho), path.observed[4]["stop"]


def test_a_rank_can_end_the_flow_of_all(tmp_path):
    assert on_ranks(2, tmp_path, _ended) == [(4, True)] * 2


def _resumed(group, path, layers, **options):
    end = run(*own(group), group, layers, checkpoint=path, checkpoint_every=5, **options)
    return shards.Shards.of(len(end.points), group).gather(end.points).numpy(), end.rho.numpy()


def test_a_checkpoint_is_taken_up_by_another_number_of_ranks(tmp_path):
    path, alone = tmp_path / "flow.json", run(*problem())
    on_ranks(2, tmp_path, _resumed, path, 10)
    on_ranks(3, tmp_path, _resumed, path, 15)
    with pytest.raises(ValueError, match="shared among ranks; go on with torchrun"):
        run(*problem(), checkpoint=path)
    ((points, rho),) = on_ranks(1, tmp_path, _resumed, path, 20)
    torch.testing.assert_close(alone.points, torch.from_numpy(points), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(alone.rho, torch.from_numpy(rho), rtol=1e-12, atol=1e-12)
    # only what the manifest and the one before name is left
    assert sorted(p.name for p in tmp_path.glob("flow.json*")) == [
        "flow.json", "flow.json.layer15.rank0of3", "flow.json.layer15.rank1of3",
        "flow.json.layer15.rank2of3", "flow.json.layer20.rank0of1", "flow.json.lock",
        "flow.json.previous",
    ]  # fmt: skip


def test_ranks_take_up_the_checkpoint_of_one_process_and_step_over_a_corrupt_one(tmp_path):
    path, alone = tmp_path / "flow.json", run(*problem())
    run(*problem(), layers=5, checkpoint=path)
    on_ranks(2, tmp_path, _resumed, path, 10)
    corrupt = tmp_path / "flow.json.layer10.rank1of2"
    corrupt.write_bytes(corrupt.read_bytes()[:-1] + b"!")
    for points, _ in on_ranks(2, tmp_path, _warned, path):
        torch.testing.assert_close(alone.points, torch.from_numpy(points), rtol=1e-12, atol=1e-12)


def _warned(group, path):
    with pytest.warns(UserWarning, match="flow.json is corrupt"):
        return _resumed(group, path, 20)


def _disagree(group):
    x, y, carry = own(group)
    rank = dist.get_rank(group)
    bad = x.clone()
    bad[0, 0] = torch.nan
    attempts = [
        lambda: run(x, y, carry, group, nugget=1e-3 * (1 + rank)),
        lambda: run(x, y, carry, group, seed=rank),
        lambda: run(x, y, carry, group, layers=3 + rank),
        lambda: run(x[:, : 3 + rank], y, carry[:, : 3 + rank], group),
        lambda: run(*problem(), group),
        lambda: run(bad if rank else x, y, carry, group),
        lambda: run(x[: len(x) * rank], y[: len(x) * rank], carry, group),
        lambda: run(x, y, carry, group, n_fine=42),
        lambda: run(x, y, carry, group, keep_layers=rank == 0),
        lambda: run(x, y, carry, group, checkpoint="/dev/null/flow" if rank == 0 else "flow"),
    ]
    said = []
    for attempt in attempts:
        try:
            said.append(str(attempt()))
        except (ValueError, OSError, RuntimeError) as error:
            said.append(str(error))
    return said


def test_ranks_that_disagree_all_say_in_what(tmp_path):
    first, second = on_ranks(2, tmp_path, _disagree)
    expected = [
        "nugget is 0.001 on rank 0, but 0.002 on rank 1",
        "generator is",
        "layers is 3 on rank 0, but 4 on rank 1",
        "columns is 3 of torch.float64, 4 of torch.float64 on rank 0, but 4 of",
        "ranks 0 and 1 hold the same 41 points; give each its own",
        "x must be finite, but row 0 holds NaN",
        "rank 0 holds no points",
        "n_fine must be at most 41, not 42",
        "keep_layers is True on rank 0, but False on rank 1",
        "the checkpoint /dev/null/flow cannot be written",
    ]
    for says, one, other in zip(expected, first, second, strict=True):
        assert says in one and says in other
    assert first[5].startswith("rank 1 stopped: ") and second[5].startswith("x must")


def _kept(group, folder, layers, nugget=1e-3):
    path = run(*own(group), group, layers, keep_layers=folder, nugget=nugget,
               checkpoint=folder.with_suffix(f".{nugget}"))  # fmt: skip
    return path.transform(torch.ones(2, 5, dtype=torch.float64)).numpy()


def test_ranks_keep_layers_in_a_folder_that_is_refused_to_another_run_on_all_of_them(tmp_path):
    folder = tmp_path / "layers"
    on_ranks(3, tmp_path, _kept, folder, 10)
    alone = run(*problem(), keep_layers=True).transform(torch.ones(2, 5, dtype=torch.float64))
    for moved in on_ranks(2, tmp_path, _kept, folder, 20):
        torch.testing.assert_close(alone, torch.from_numpy(moved), rtol=1e-12, atol=1e-12)
    (tmp_path / "other").mkdir()
    for error in on_ranks(2, tmp_path / "other", _kept, folder, 20, 0.1):
        assert "is a layer of another run" in str(error)


def _lose_a_rank(group, path):
    def leave(state):
        if state.layer == 12 and dist.get_rank(group) == 1:
            raise ArithmeticError("this rank has had enough")

    return _resumed(group, path, 20, observe=leave, observe_at=[12])


def test_a_rank_that_is_lost_ends_the_run_with_a_usable_checkpoint(tmp_path):
    path = tmp_path / "flow.json"
    lost, _ = on_ranks(2, tmp_path, _lose_a_rank, path)
    assert isinstance(lost, shards.RankLost)
    assert "at layer 1" in str(lost) and "the checkpoint of layer 10 is kept" in str(lost)
    for points, _ in on_ranks(2, tmp_path, _resumed, path, 20):
        torch.testing.assert_close(run(*problem()).points, torch.from_numpy(points))


def _hang(rank, port, path, answers):
    """Join as torchrun's processes do; rank 1 stands still at layer 12."""
    torch.set_num_threads(1)
    launched = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in launched.items()})

    def stand_still(state):
        if state.layer == 12 and rank == 1:
            answers.put("hangs")
            time.sleep(600)

    with shards.joined("cpu", timeout=3) as (group, _):
        try:
            _resumed(group, path, 20, observe=stand_still, observe_at=[12])
        except shards.RankLost as error:
            answers.put(str(error))
            answers.close()
            answers.join_thread()
            os._exit(0)  # torch would wait for the other


def test_a_rank_that_hangs_is_lost_when_the_time_is_over(tmp_path):
    spawn, path = multiprocessing.get_context("spawn"), tmp_path / "flow.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = spawn.Queue()
    ranks = [spawn.Process(target=_hang, args=(r, port, path, answers)) for r in range(2)]
    for process in ranks:
        process.start()
    try:
        assert answers.get(timeout=120) == "hangs"
        lost = answers.get(timeout=60)
    finally:
        for process in ranks:
            process.kill()
    assert "the checkpoint of layer 10 is kept" in lost and "another rank stopped answering" in lost
    for points, _ in on_ranks(2, tmp_path, _resumed, path, 20):
        torch.testing.assert_close(run(*problem()).points, torch.from_numpy(points))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_a_fingerprint_does_not_depend_on_who_holds_the_rows(dtype):
    x = problem()[0].to(dtype)
    total = sum(fingerprint._hash(x[a:b], a) for a, b in ((0, 13), (13, 40), (40, N)))
    assert (total - fingerprint._hash(x, 0)) % 2**64 == 0
    swapped = x[[1, 0, *range(2, N)]]
    assert fingerprint._hash(swapped, 0) != fingerprint._hash(x, 0)
    x[5, 2] *= 1 + torch.finfo(dtype).eps
    assert (total - fingerprint._hash(x, 0)) % 2**64


def test_outside_torchrun_there_is_no_rank():
    with pytest.raises(RuntimeError, match="start it by torchrun"), shards.joined():
        pass


@pytest.mark.parametrize(
    "change",
    [
        dict(files=["../flow.json.layer2.rank0of1"]),
        dict(files=[]),
        dict(files=3),
        dict(rows={"points": [0]}),
        dict(rows={"points": [3, 0]}),
        dict(rows=None),
        dict(facts="text"),
    ],
)
def test_a_manifest_that_names_what_is_not_beside_it_is_stepped_over(tmp_path, change):
    path, shared = tmp_path / "flow.json", {"points": shards.Shards.of(3, None)}
    with ShardedCheckpoint(path, shared) as file:
        for layer in (1, 2):
            file.save({"points": torch.full((3, 2), float(layer))}, {"layer": layer})
    outside = tmp_path.parent / "flow.json.layer2.rank0of1"  # sound, and all the same not ours
    outside.write_bytes((tmp_path / outside.name).read_bytes())
    text = json.dumps(json.loads(json.loads(path.read_text())["text"]) | change)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps({"text": text, "digest": digest}))
    with (
        ShardedCheckpoint(path, shared) as file,
        pytest.warns(UserWarning, match="flow.json is corrupt"),
    ):
        tensors, facts = file.load()
    assert facts["layer"] == 1 and (tensors["points"] == 1).all()


def _far(group, shift):
    x, y, _ = problem()
    x = x[:, :1].sort(dim=0).values * 20 + shift  # each rank holds a narrow part of the range
    learned = kflow.learning.Isotropic(kflow.Gaussian, 30.0).freeze()
    flow = kflow.KernelFlow(learned, 10, kflow.MaxDisplacement(0.5), 1e-3, precision="float32")
    mine = shards.part(N, group)
    rng = torch.Generator().manual_seed(1)
    return flow.run(x[mine], y[mine], 3, rng, group=group).rho.numpy()


def test_how_far_the_origin_is_does_not_depend_on_who_holds_the_rows(tmp_path):
    alone, *ranks = on_ranks(1, tmp_path, _far, 1500.0) + on_ranks(3, tmp_path, _far, 1500.0)
    for found in ranks:
        np.testing.assert_allclose(found, alone, rtol=1e-3)
    for found in on_ranks(3, tmp_path, _far, 1e5):
        with pytest.raises(ValueError, match="column 0 of x lies more than 32 times its range"):
            raise found
