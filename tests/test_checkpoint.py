"""A run that is killed and started again ends in the bits of an unbroken one."""

import errno
import multiprocessing
import os
import signal
import time
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch

import kflow
from kflow import learning
from kflow.engine import checkpoint, fingerprint, sealed


def run(path=None, layers=60, pause=0.0, device="cpu", **change):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=rng, dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.arange(40) % 4, 4).double()
    x, y = (part.float().to(device) for part in (x, y))
    settings = dict(
        kernel=kflow.Gaussian(1.5),
        n_fine=10,
        step=kflow.MaxDisplacement(0.05),
        nugget=1e-3,
        precision="float32",
    )
    options = dict(observe_at=range(0, layers + 1, 10), checkpoint_every=7, lookahead=3)
    settings |= {k: change.pop(k) for k in list(change) if k in settings}
    options |= change

    def observe(state):
        time.sleep(pause)
        return {"rho": float(state.rho.sum()), "where": state.points[:2]}

    flow = kflow.KernelFlow(**settings)
    generator = torch.Generator().manual_seed(1)
    end = flow.run(x, y, layers, generator, carry=x[:3] + 1, observe=observe, checkpoint=path,
                   **options)  # fmt: skip
    return end, generator


def run_slowly(path, device):
    torch.set_num_threads(1)
    run(path, pause=0.2, device=device)


def assert_same(one, other):
    (path, rng), (path2, rng2) = one, other
    for name in ("points", "carried", "rho", "eps"):
        assert torch.equal(getattr(path, name), getattr(path2, name)), name
    assert path.observed.keys() == path2.observed.keys()
    for layer, found in path.observed.items():
        assert found["rho"] == path2.observed[layer]["rho"]
        assert torch.equal(found["where"], path2.observed[layer]["where"])
    assert torch.equal(rng.get_state(), rng2.get_state())


@pytest.mark.parametrize("delay", [0.05, 0.12, 0.21])
def test_a_run_killed_at_any_instant_ends_in_the_same_bits(tmp_path, delay, anywhere):
    path = tmp_path / "flow.safetensors"
    worker = multiprocessing.get_context("spawn").Process(
        target=run_slowly, args=(path, str(anywhere))
    )
    worker.start()
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert worker.exitcode == -signal.SIGKILL  # it was running, and not done
    assert 0 < checkpoint.read(path)[1]["layer"] < 60
    assert_same(run(path, device=anywhere), run(device=anywhere))


def test_a_finished_run_grows(tmp_path, place):
    path = tmp_path / "flow.safetensors"
    where = dict(device=place.device, precision=place.precision)
    run(path, layers=30, **where)
    assert_same(run(path, layers=60, **where), run(**where))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(nugget=1e-2), "nugget was 0.001, is now 0.01"),
        (dict(kernel=kflow.Gaussian(2.0)), r"kernel was Gaussian\(gamma=1.5\), is now"),
        (dict(lookahead=5), "lookahead was 3, is now 5"),
        (dict(observe_at=[5]), "observe_at was 0 10 20"),
        (dict(layers=20, observe_at=range(0, 21, 10)), "already has 60 layers"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path, change, says):
    path = tmp_path / "flow.safetensors"
    run(path)
    with pytest.raises(ValueError, match=says):
        run(path, **change)


def metric(factor):
    kernel = learning.Metric(kflow.Gaussian, 3)
    kernel.matrix.data.mul_(factor)
    return kernel.freeze()


def isotropic(base, gamma):
    return learning.Isotropic(base, gamma)


class Halved:
    def __init__(self, eps):
        self.eps = eps

    def __call__(self, z, g):
        return torch.tensor(self.eps / 2)


def rule_of(eps):
    return lambda z, g: torch.tensor(eps)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (dict(kernel=isotropic(kflow.Gaussian, 1.5).freeze()),
         dict(kernel=isotropic(kflow.Matern52, 1.5).freeze()), "what the kernel holds"),
        (dict(kernel=isotropic(kflow.Gaussian, 1.5001).freeze()),
         dict(kernel=isotropic(kflow.Gaussian, 1.5004).freeze()), "what the kernel holds"),
        (dict(kernel=isotropic(kflow.Gaussian, 1.5)),
         dict(kernel=isotropic(kflow.Gaussian, 2.0)), "what the kernel holds"),
        (dict(kernel=metric(1.0)), dict(kernel=metric(3.0)), "what the kernel holds"),
        (dict(step=Halved(0.1)), dict(step=Halved(0.2)), "what the step rule holds"),
        (dict(step=Halved(0.1).__call__), dict(step=Halved(0.2).__call__), "what the step rule"),
        (dict(step=partial(Halved.__call__, Halved(0.1))),
         dict(step=partial(Halved.__call__, Halved(0.2))), "what the step rule holds"),
        (dict(step=lambda z, g: torch.tensor(0.1)),
         dict(step=lambda z, g: torch.tensor(0.2)), "what the step rule holds"),
        (dict(step=rule_of(0.1)), dict(step=rule_of(0.2)), "what the step rule holds"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_a_kernel_or_a_rule_of_other_contents_is_refused(
    tmp_path, one, other, says
):
    path = tmp_path / "flow.safetensors"
    run(path, layers=30, lookahead=1, **one)
    with pytest.raises(ValueError, match=says):
        run(path, lookahead=1, **other)
    assert checkpoint.read(path)[1]["layer"] == 30
    assert_same(run(path, lookahead=1, **one), run(lookahead=1, **one))


@pytest.mark.wrong_types
def test_numbers_of_numpy_and_fractions_are_checkpointed_as_pythons_own(tmp_path):
    numbers = dict(a=np.float32(0.5), b=np.int64(2), c=True, d=Fraction(1, 4), e=np.longdouble(3))
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))

    def go(kind, layers, path):
        flow = kflow.KernelFlow(kflow.Gaussian(kind(1)), np.int64(4), kflow.MaxDisplacement(0.05),
                                nugget=kind(1))  # fmt: skip
        return flow.run(
            x, x, kind(layers), torch.Generator().manual_seed(1), observe=lambda state: numbers,
            observe_at=[kind(0), kind(10)], lookahead=kind(3), checkpoint_every=kind(7),
            checkpoint=tmp_path / path,
        )  # fmt: skip

    go(np.int64, 10, "flow")
    ours, theirs = go(int, 20, "flow"), go(int, 20, "other")
    assert torch.equal(ours.points, theirs.points) and ours.observed == theirs.observed
    assert ours.observed[10] == dict(a=0.5, b=2, c=True, d=0.25, e=3.0)
    assert all(type(value) in (int, float, bool) for value in ours.observed[10].values())


def test_a_checkpoint_that_fingerprints_runs_otherwise_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "flow.safetensors"
    with monkeypatch.context() as before:
        before.setattr(fingerprint, "FORMAT", "1")
        run(path)
    with pytest.raises(ValueError, match="written by another version of kflow"):
        run(path)


def test_a_checkpoint_of_another_thread_count_is_refused(tmp_path):
    path = tmp_path / "flow.safetensors"
    run(path)
    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="threads was 1, is now 2"):
        run(path)


def test_a_corrupt_checkpoint_is_named_and_the_previous_one_used(tmp_path):
    path = tmp_path / "flow.safetensors"
    run(path)
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1  # one bit of a tensor: the format alone would not notice
    path.write_bytes(raw)
    with pytest.warns(UserWarning, match="flow.safetensors is corrupt"):
        again = run(path)
    assert_same(again, run())


def test_two_corrupt_checkpoints_are_an_error_that_names_both(tmp_path):
    path = tmp_path / "flow.safetensors"
    run(path)
    for file in (path, tmp_path / "flow.safetensors.previous"):
        file.write_bytes(b"nothing")
    with (
        pytest.warns(UserWarning, match="is corrupt"),
        pytest.raises(ValueError, match="no sound checkpoint.*previous"),
    ):
        run(path)


def test_two_runs_on_one_checkpoint_exclude_each_other(tmp_path):
    path = tmp_path / "flow.safetensors"
    with (
        checkpoint.Checkpoint(path),
        pytest.raises(BlockingIOError, match="another run holds the checkpoint"),
    ):
        run(path)


def test_a_full_disk_stops_the_run_and_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "flow.safetensors"
    run(path, layers=30)
    before = path.read_bytes()

    def full(tensors, file, metadata=None):
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sealed, "save_file", full)
        with pytest.raises(OSError, match="could not be written.*the last one is intact"):
            run(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "flow.safetensors", "flow.safetensors.lock", "flow.safetensors.previous",
    ]  # fmt: skip
    assert_same(run(path), run())


def test_a_path_that_cannot_be_written_is_said_before_the_first_layer(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        run(tmp_path / "file" / "flow.safetensors")


def test_a_flow_that_breaks_keeps_its_last_checkpoint(tmp_path):
    path = tmp_path / "flow.safetensors"

    class Breaks:
        """A step rule that fails after twenty games."""

        games = 0

        def __call__(self, z, g):
            self.games += 1
            return torch.tensor(0.01 if self.games <= 20 else float("nan"))

    with pytest.raises(FloatingPointError, match="layer 20 .*checkpoint of layer 14 is kept"):
        run(path, step=Breaks(), lookahead=1)
    assert path.exists()


def test_kept_layers_resume_with_the_run(tmp_path, anywhere):
    path, kept = tmp_path / "flow.safetensors", tmp_path / "kept"
    new = torch.ones(2, 3, device=anywhere)
    run(path, layers=30, keep_layers=kept, device=anywhere)
    resumed, _ = run(path, keep_layers=kept, device=anywhere)
    unbroken, _ = run(keep_layers=True, device=anywhere)
    assert torch.equal(resumed.transform(new), unbroken.transform(new))


def test_points_of_one_column_of_a_transposed_matrix_are_checkpointed(tmp_path):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 12, generator=rng).expand(3, 12).T[:, :1]  # contiguous, of stride (1, 12)
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 4, kflow.MaxDisplacement(0.05), nugget=0.1)
    answers = [
        flow.run(points, points, 3, torch.Generator().manual_seed(1), observe=lambda state: {
            "one": torch.ones(1).expand(1)}, observe_at=[2], checkpoint=tmp_path / name)
        for name, points in (("a", x), ("b", x.clone(memory_format=torch.contiguous_format)))
    ]  # fmt: skip
    assert torch.equal(answers[0].points, answers[1].points)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(layer="seven"), "its layer must be an integer, not 'seven'"),
        (dict(observed=3), "does not hold the state of a flow"),
        (dict(observed={"a": {}}), "does not hold the state of a flow"),
        (dict(fingerprint=None), "does not hold the state of a flow"),
        (dict(points=torch.zeros(1, 3)), r"its points are \(1, 3\) of torch.float32"),
        (dict(points=torch.full((40, 3), torch.nan)), "its points are .* or not finite"),
        (dict(rho=torch.zeros(1, dtype=torch.float64)), r"its rho are \(1,\)"),
        (dict(generator=torch.zeros(5, dtype=torch.uint8)), "does not hold the state of a flow"),
    ],
)
def test_a_sealed_checkpoint_that_is_no_state_of_a_flow_is_refused(tmp_path, change, says):
    path = tmp_path / "flow.safetensors"
    run(path, layers=30)
    tensors, facts = sealed.read(path)
    for name, value in change.items():
        (facts if name in facts else tensors)[name] = value
    sealed.write(path, tensors, facts)
    with pytest.raises(ValueError, match=says):
        run(path)


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-9], lambda raw: b"", None])
def test_a_folder_or_a_file_cut_short_in_place_of_a_checkpoint_is_stepped_over(tmp_path, spoil):
    path = tmp_path / "flow.safetensors"
    run(path, layers=30)
    if spoil:
        path.write_bytes(spoil(path.read_bytes()))
    else:
        previous = tmp_path / "flow.safetensors.previous"
        path.unlink()
        previous.unlink()
        previous.mkdir()
        with (
            pytest.warns(UserWarning, match="is corrupt"),
            pytest.raises(ValueError, match="no sound"),
        ):
            run(path)
        return
    with pytest.warns(UserWarning, match="is corrupt"):
        again = run(path)
    assert_same(again, run())


def test_a_kept_layer_of_which_a_bit_was_flipped_moves_no_point(tmp_path):
    kept = tmp_path / "kept"
    path, _ = run(layers=30, keep_layers=kept)
    (kept / "layer-of-mine.safetensors").touch()  # is left alone
    layer = kept / "layer-00000007.safetensors"
    raw = bytearray(layer.read_bytes())
    raw[-5] ^= 1
    layer.write_bytes(raw)
    with pytest.raises(ValueError, match="kept layer .*07.safetensors cannot be read .*digest"):
        path.transform(torch.ones(2, 3))
    layer.unlink()
    with pytest.raises(ValueError, match="kept layer .*07.safetensors cannot be read"):
        path.transform(torch.ones(2, 3))


def test_another_run_is_refused_a_folder_of_layers_and_the_same_run_writes_the_same(tmp_path):
    kept, ours = tmp_path / "kept", tmp_path / "flow.safetensors"
    one, _ = run(ours, layers=30, keep_layers=kept)
    for change in (dict(kernel=kflow.Gaussian(2.0)), dict(checkpoint_every=5, nugget=0.1)):
        for path in (None, tmp_path / "other.safetensors"):
            with pytest.raises(ValueError, match="layer-00000000.* of another run.*another folder"):
                run(path, layers=10, keep_layers=kept, **change)
    assert torch.equal(one.transform(one.points), run(layers=30, keep_layers=kept)[0].transform(
        one.points))  # fmt: skip
    longer, _ = run(ours, keep_layers=kept)
    run(tmp_path / "again.safetensors", layers=20, keep_layers=kept)
    run(tmp_path / "again.safetensors", layers=30, keep_layers=kept)
    assert torch.equal(longer.transform(one.points), run(keep_layers=True)[0].transform(one.points))


def test_layers_of_another_run_that_came_into_the_folder_move_no_point(tmp_path):
    ours, theirs = tmp_path / "kept", tmp_path / "other"
    path, _ = run(layers=20, keep_layers=ours)
    run(layers=20, keep_layers=theirs, nugget=0.1)
    name = "layer-00000007.safetensors"
    (ours / name).write_bytes((theirs / name).read_bytes())
    with pytest.raises(ValueError, match="kept layer .*07.* is of another run.*folder of its own"):
        path.transform(torch.ones(2, 3))


@pytest.mark.parametrize("spoil", ["earlier version", "cut short", "folder"])
def test_a_folder_with_what_may_be_layers_of_others_is_refused_and_left_as_it_was(tmp_path, spoil):
    layer = tmp_path / "layer-00000000.safetensors"
    if spoil == "folder":
        layer.mkdir()
    else:
        sealed.write(layer, {"z": torch.ones(2, 2), "c": torch.ones(2, 2)}, {})
        if spoil == "cut short":
            layer.write_bytes(layer.read_bytes()[:9])
    before = layer.is_file() and layer.read_bytes()
    with pytest.raises(ValueError, match="layer of another run, or damaged"):
        run(layers=10, keep_layers=tmp_path)
    assert (layer.is_file() and layer.read_bytes()) == before and len([*tmp_path.iterdir()]) == 1


def test_a_full_disk_is_said_by_the_layers_that_are_kept(tmp_path, monkeypatch):
    def full(tensors, file, metadata=None):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealed, "save_file", full)
    with pytest.raises(OSError, match="layer 0 could not be written to .*No space left.*free some"):
        run(layers=10, keep_layers=tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.fixture
def heard():
    """Ctrl-C is heard, also where these tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_layer_saves_and_says_how_to_go_on(tmp_path, number, capsys, heard):
    path, before = tmp_path / "flow.safetensors", signal.getsignal(number)

    def observe(state):
        if state.layer == 10:
            signal.raise_signal(number)

    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 4, kflow.MaxDisplacement(0.05), nugget=0.1)

    def go(**options):
        return flow.run(x, x, 20, torch.Generator().manual_seed(1), observe_at=[10], **options)

    with pytest.raises(BaseException, match="143|stopped at layer 10") as caught:
        go(observe=observe, checkpoint=path)
    if number == signal.SIGTERM:
        assert isinstance(caught.value, SystemExit) and caught.value.code == 143
        assert "stopped at layer 10, which is saved in" in capsys.readouterr().err
    else:
        assert isinstance(caught.value, KeyboardInterrupt)
        assert "the same call goes on from there" in str(caught.value)
    assert checkpoint.read(path)[1]["layer"] == 10
    assert signal.getsignal(number) == before
    resumed = go(observe=lambda state: None, checkpoint=path)
    assert torch.equal(resumed.points, go(observe=lambda state: None).points)


def test_without_a_checkpoint_ctrl_c_interrupts_at_once(heard):
    seen = []

    def observe(state):
        seen.append(state.layer)
        signal.raise_signal(signal.SIGINT)

    x = torch.eye(6)
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 4, kflow.MaxDisplacement(0.05), nugget=0.1)
    with pytest.raises(KeyboardInterrupt, match="^$"):
        flow.run(x, x, 9, torch.Generator(), observe=observe, observe_at=range(9))
    assert seen == [0]


def test_layers_in_memory_are_refused_beside_a_checkpoint_which_would_lack_the_first(tmp_path):
    with pytest.raises(ValueError, match="pass a folder as keep_layers"):
        run(tmp_path / "run", keep_layers=True)
    assert not list(tmp_path.iterdir())
