import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import kflow
from kflow import data as embedded
from kflow import game
from kflow.engine import memory, precisions, saved_state, transport
from kflow.engine.shards import Shards
from tests import reference


@pytest.fixture
def data(rng):
    x = torch.randn(40, 3, generator=rng).bfloat16().double()  # numbers that any precision holds
    y = torch.nn.functional.one_hot(torch.arange(40) % 4, 4).double()
    return x, y


def flow(**change):
    settings = dict(
        kernel=kflow.Gaussian(1.5),
        n_fine=10,
        step=kflow.MaxDisplacement(0.1),
        nugget=1e-3,
        precision="float64",
    )
    return kflow.KernelFlow(**settings | change)


def seed(k=0):
    return torch.Generator().manual_seed(k)


def motion_error(moved, expected, start):
    """The largest difference of two motions, as a share of the largest motion."""
    error = (moved.cpu().double() - expected).norm(dim=1).max()
    return float(error / (expected - start).norm(dim=1).max())


def test_a_layer_is_drawn_played_and_interpolated_as_the_talk_says(data, place):
    x, y = data
    new = (x[:5] + 0.1).bfloat16().double()
    here, labels, carry = place(x, y, new)
    path = flow(precision=place.precision).run(here, labels, 1, seed(), carry=carry)
    sample, centre = game.draw(40, 10, seed()), path.map.frame.centre.cpu()
    z, labels = x[sample.fine], y[sample.fine].numpy()
    if place.precision == "mixed":  # the batch is rounded, seen from the centre
        z = (z - centre).bfloat16().double() + centre
    z = z.numpy()
    arguments = ("Gaussian", z, labels, sample.coarse.numpy(), 1.5, 1e-3)
    g = -reference.gradient(*arguments)
    eps = 0.1 / (g**2).sum(1).max() ** 0.5
    assert float(path.rho[0]) == pytest.approx(reference.rho(*arguments))
    assert float(path.eps[0]) == pytest.approx(eps, rel=1e-6)
    for moved, start in ((path.points, x), (path.carried, new)):
        expected = torch.from_numpy(
            reference.layer("Gaussian", start.numpy(), z, g, eps, 1.5, 1e-3)
        )
        assert motion_error(moved, expected, start) < place.error


def test_without_a_nugget_batch_points_move_by_eps_g(data, place):
    x, y = data
    path = flow(nugget=0.0, precision=place.precision).run(*place(x, y), 1, seed())
    sample = game.draw(40, 10, seed())
    _, gradient = kflow.rho_and_gradient(
        kflow.Gaussian(1.5), x[sample.fine], y[sample.fine], sample.coarse
    )
    batch, moved = x[sample.fine], path.points.cpu()[sample.fine]
    assert motion_error(moved, batch - path.eps[0] * gradient, batch) < place.error


def test_a_small_enough_layer_lowers_rho(data, device):
    # to first order by eps <g, K (K + nugget I)^-1 g>: what the interpolated motion has of g
    x, y = (part.to(device) for part in data)
    kernel, nugget, eps = kflow.Gaussian(1.5), 1e-3, 1e-4
    path = flow(n_fine=40, step=kflow.Constant(eps)).run(x, y, 1, seed())
    fine, coarse = game.draw(40, 40, seed())
    before, gradient = kflow.rho_and_gradient(kernel, x[fine], y[fine], coarse, nugget)
    after = kflow.rho(kernel, path.points[fine], y[fine], coarse, nugget)
    gram = kernel(x[fine], x[fine])
    motion = gram @ torch.linalg.solve(gram + nugget * torch.eye(40).to(gram), gradient)
    expected = -eps * float((gradient * motion).sum())
    assert expected < 0 and float(after - before) == pytest.approx(expected, rel=0.01)


def test_a_test_point_equal_to_a_training_point_follows_it_to_the_bit(data, place):
    x, y = place(*data)
    path = flow(precision=place.precision).run(x, y, 20, seed(), carry=x[3:5])
    assert torch.equal(path.carried, path.points[3:5])


def test_looking_ahead_changes_nothing(data, device):
    x, y = (part.to(device) for part in data)
    one = flow().run(x, y, 20, seed(), carry=x[:5] + 0.1)
    for lookahead in (4, 10):
        ahead = flow().run(x, y, 20, seed(), carry=x[:5] + 0.1, lookahead=lookahead)
        torch.testing.assert_close(ahead.points, one.points, rtol=0, atol=1e-12)
        torch.testing.assert_close(ahead.carried, one.carried, rtol=0, atol=1e-12)
        torch.testing.assert_close(ahead.rho, one.rho, rtol=1e-12, atol=0)


def test_observing_changes_no_game(data, device):
    x, y = (part.to(device) for part in data)
    seen = []
    one = flow().run(x, y, 12, seed())
    other = flow().run(
        x, y, 12, seed(), lookahead=5, observe=lambda s: seen.append(s.layer), observe_at=(0, 3, 12)
    )
    assert seen == [0, 3, 12]
    torch.testing.assert_close(other.points, one.points, rtol=0, atol=1e-12)


def test_an_observer_sees_full_copies_and_its_finds_are_kept(data, place):
    x, y = place(*data)
    x = torch.cat([x, torch.full_like(x[:, :1], 2.5)], dim=1)

    def observe(state):
        assert state.points.shape == (40, 4) and len(state.rho) == state.layer
        state.points.zero_()  # an observer cannot harm the flow
        return {"layer": state.layer, "first": state.carried[0]}

    settings = flow(precision=place.precision)
    path = settings.run(x, y, 6, seed(), carry=x[:1], observe=observe, observe_at=[0, 6])
    assert path.observed[6]["layer"] == 6
    assert torch.equal(path.observed[0]["first"], x[0].cpu())
    assert torch.equal(path.observed[6]["first"], path.points[0].cpu())
    assert torch.equal(path.points[:, 3], x[:, 3])


def test_columns_that_all_training_points_share_are_left_out_exactly(data, device):
    x, y = (part.to(device) for part in data)
    new = x[:5] + 0.1
    wide = torch.cat([x, torch.full_like(x[:, :2], 2.5)], dim=1)
    other = torch.cat([new, torch.tensor([[2.5, 2.0]] * 5).to(x)], dim=1)
    path = flow().run(wide, y, 8, seed(), carry=other)
    assert torch.equal(path.carried[:, 3:], other[:, 3:])

    def kernel(a, b):  # the same kernel, as a callable, is not given the shortcut
        return kflow.Gaussian(1.5)(a, b)

    slow = flow(kernel=kernel).run(wide, y, 8, seed(), carry=other)
    torch.testing.assert_close(path.points, slow.points, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(path.carried, slow.carried, rtol=1e-9, atol=1e-9)


def test_two_runs_of_a_seed_are_the_same_bits_and_leave_the_generator_alike(data, place):
    x, y = place(*data)
    before, rngs = x.clone(), (seed(), seed())
    one, other = (flow(precision=place.precision).run(x, y, 9, rng) for rng in rngs)
    assert torch.equal(one.points, other.points)
    assert torch.equal(rngs[0].get_state(), rngs[1].get_state())
    assert torch.equal(x, before)


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_kept_layers_move_new_points_as_carrying_them_does(data, where, tmp_path, place):
    x, y = place(*data)
    new = x[:7] + 0.1
    keep = True if where == "memory" else tmp_path / "layers"
    settings = flow(precision=place.precision)
    path = settings.run(x, y, 15, seed(), carry=new, keep_layers=keep, lookahead=4)
    assert torch.equal(path.transform(new), path.carried)
    assert torch.equal(path.transform(x), path.points)
    torch.testing.assert_close(path.kernel(new, x), kflow.Gaussian(1.5)(path.carried, path.points))


def test_the_deep_kernel_nests_outside_and_the_printed_inner_form_differs_after_two_layers(
    data, device
):
    x, y = (part.to(device) for part in data)
    kernel = kflow.Gaussian(1.5)
    path = flow().run(x, y, 2, seed(), keep_layers=True)
    # batches are seen from the centre; in float64 they are filled up with columns of zeros
    centre = path.map.frame.centre
    first, second = (
        transport.Layer(layer.z[:, :3] + centre, layer.c[:, :3]) for layer in path.layers
    )

    def shift(layer, at, points):
        """eps sum_i c_i K(z_i, at), added to points."""
        return points + kernel(at, layer.z) @ layer.c

    f2 = shift(first, x, x)  # F after one layer
    outer = shift(second, f2, f2)  # K_n(x, x') = K_1(F(x) + eps sum c_i K_{n-1}(x_i, x), ...)
    inner = shift(first, shift(second, f2, x), shift(second, f2, x))
    torch.testing.assert_close(path.kernel(x, x), kernel(outer, outer))
    one = flow().run(x, y, 1, seed(), keep_layers=True)
    torch.testing.assert_close(one.kernel(x, x), kernel(f2, f2))
    assert float((kernel(inner, inner) - kernel(outer, outer)).abs().max()) > 1e-4


def test_outputs_have_the_dtype_and_the_device_of_the_data(data, place):
    x, y = place(*data)
    path = flow(precision=place.precision).run(x, y, 2, seed(), carry=x[:1])
    assert path.points.dtype == path.carried.dtype == place.dtype
    assert path.points.device == path.carried.device == place.device
    assert flow(precision="float32").run(*data, 2, seed()).points.dtype == torch.float64


def test_twenty_layers_in_float32_agree_with_the_cpu_to_a_ten_thousandth(accelerator):
    digits = embedded.mnist()
    x, y = digits.x[:2000], digits.y[:2000]
    kernel = kflow.Gaussian.for_points(x)
    step = kflow.MaxDisplacement(0.1 * kernel.gamma)
    settings = kflow.KernelFlow(kernel, 600, step, nugget=1e-2)
    cpu = settings.run(x, y, 20, seed(), carry=digits.x_test)
    there = settings.run(
        x.to(accelerator), y.to(accelerator), 20, seed(), carry=digits.x_test.to(accelerator)
    )
    torch.testing.assert_close(there.rho, cpu.rho, rtol=1e-4, atol=0)
    for name in ("points", "carried"):
        one, other = getattr(cpu, name), getattr(there, name).cpu()
        assert float(((one - other).norm(dim=1) / one.norm(dim=1)).max()) < 1e-4


def test_zero_layers_return_the_points(data, place):
    x, y = place(*data)
    assert torch.equal(flow(precision=place.precision).run(x, y, 0, seed()).points, x)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_carried_and_new_points_that_do_not_stay_finite_are_refused(data, checkpointed, tmp_path):
    x, y = data
    far = torch.full((2, x.shape[1]), 200.0, dtype=x.dtype)
    far[0] = 0

    def kernel(a, b):
        return torch.where(a[:, :1] > 100, math.nan, torch.exp(-(torch.cdist(a, b) ** 2)))

    moved = kflow.KernelFlow(kernel, 10, kflow.MaxDisplacement(0.1), 1e-2)
    path = tmp_path / "flow" if checkpointed else None
    with pytest.raises(FloatingPointError, match="at layer 3 the points became NaN"):
        moved.run(x, y, 3, seed(), carry=far, checkpoint=path)
    with pytest.raises(FloatingPointError, match="row 1 became NaN or infinite on its way"):
        moved.run(x, y, 3, seed(), keep_layers=True).transform(far)


def test_a_broken_flow_names_its_layer(data, device):
    x, y = (part.to(device) for part in data)
    with pytest.raises(kflow.NotPositiveDefinite, match=r"at layer 0: .*rows [01] and [01] of x"):
        flow(nugget=0.0, n_fine=40).run(x[[0, 0, *range(2, 40)]], y, 3, seed())

    def explode(z, g):
        return torch.tensor(math.nan)

    with pytest.raises(FloatingPointError, match="at layer 0 the step became NaN"):
        flow(step=explode).run(x, y, 3, seed())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(n_fine=9), "even"),
        (dict(n_fine=42), "at most 40"),
        (dict(nugget=-1), "nugget must be at least 0"),
        (dict(precision="bf16"), "'float64', 'float32', 'mixed', not 'bf16'"),
        (dict(layers=-1), "layers must be at least 0"),
        (dict(lookahead=0), "lookahead must be at least 1"),
        (dict(observe=print, observe_at=[7]), "observe_at names layer 7, beyond the 5 layers"),
        (dict(observe_at=[2]), "observe is None"),
        (dict(carry=torch.zeros(2, 5)), "carry must have 3 columns"),
        (dict(y=torch.zeros(40, 2)), "rho is 0/0"),
        (dict(keep_layers=True, layers=10**12), "keep_layers needs .* GB"),
    ],
)
@pytest.mark.wrong_types
def test_bad_input_is_refused_by_name(change, says, data):
    x, y = data
    given = dict(x=x, y=y, layers=5, rng=seed()) | change
    settings = {k: given.pop(k) for k in ("n_fine", "nugget", "precision") if k in given}
    with pytest.raises(ValueError, match=says):
        flow(**settings).run(**given)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(kernel=1.5), "kernel must be callable"),
        (dict(step=0.1), "step must be a rule"),
    ],
)
@pytest.mark.wrong_types
def test_settings_of_a_wrong_type_are_refused(change, says):
    with pytest.raises(TypeError, match=says):
        flow(**change)


def test_an_observer_may_return_only_numbers_and_tensors(data):
    x, y = data
    with pytest.raises(TypeError, match="'what' of type str at layer 0"):
        flow().run(x, y, 1, seed(), observe=lambda s: {"what": "text"}, observe_at=[0])


def test_a_path_without_layers_says_how_to_move_new_points(data):
    x, y = data
    with pytest.raises(ValueError, match="carry=x_new"):
        flow().run(x, y, 1, seed()).transform(x)


@pytest.mark.parametrize(("precision", "size"), [("float32", 4), ("mixed", 4), ("float64", 8)])
def test_the_memory_of_a_flow_is_that_of_its_points_and_of_those_carried(
    data, precision, size, monkeypatch
):
    asked, of_flow = [], memory.of_flow

    def seen(*given):
        asked.append(given)
        return of_flow(*given)

    monkeypatch.setattr(memory, "of_flow", seen)
    monkeypatch.setattr(precisions, "uses_mixed", lambda precision, _: precision == "mixed")
    x, y = data
    flow(precision=precision).run(x, y, 1, seed(), carry=x[:7], lookahead=3)
    assert asked == [(47, 3, 10, 3, size)]


def test_what_is_not_asked_for_is_not_there(data, capsys):
    path = flow().run(*data, 1, seed())
    assert path.carried is None and path.layers is None and not path.observed
    assert capsys.readouterr().err == ""


def test_a_flow_of_no_layers_transforms_nothing(data):
    x, y = data
    path = flow().run(x, y, 0, seed(), keep_layers=True)
    assert torch.equal(path.transform(x), x)


def test_mixed_needs_a_radial_kernel_and_other_precisions_any():
    with pytest.raises(ValueError, match='"mixed" needs a radial kernel'):
        flow(kernel=lambda a, b: a @ b.mT, precision="mixed")
    flow(kernel=lambda a, b: a @ b.mT, precision="float32")


def test_progress_is_one_line_with_layer_rho_speed_and_time_left(data, capsys):
    x, y = data
    flow().run(x, y, 5, seed(), progress=True)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("layer 5/5, rho 0.")
    assert re.search(r"  [0-9.]+ layers/s  00:00 left$", said[0])


def test_progress_on_a_terminal_is_rewritten_on_one_line(data, capsys, monkeypatch):
    x, y = data
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    flow().run(x, y, 5, seed(), progress=True)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith("\n") and "\rlayer 5/5, rho 0." in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(n_fine="4"), "n_fine must be an integer, not '4'"),
        (dict(n_fine=math.inf), "n_fine must be an integer, not inf"),
        (dict(precision=[]), "precision must be one of 'float64', 'float32', 'mixed', not"),
        (dict(observe_at=3), "observe_at must be a list of layers, not 3"),
        (dict(keep_layers=3.5), "keep_layers must be True, False or a folder, not 3.5"),
        (dict(observe_at=("a",)), "each of observe_at must be an integer, not 'a'"),
    ],
)
@pytest.mark.wrong_types
def test_a_setting_of_a_wrong_type_is_named_with_the_value(change, says):
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    settings = dict(kernel=kflow.Gaussian(1.0), n_fine=4, step=kflow.Constant(0.1), nugget=0.1)
    at = {k: change.pop(k) for k in list(change) if k in ("observe_at", "keep_layers")}
    with pytest.raises((TypeError, ValueError), match=says):
        kflow.KernelFlow(**settings | change).run(
            x, x, 1, torch.Generator().manual_seed(0), observe=lambda state: None, **at
        )


@pytest.mark.wrong_types
def test_numbers_of_numpy_are_numbers():
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    ends = [
        kflow.KernelFlow(kflow.Gaussian(1.0), n_fine, kflow.Constant(0.1), nugget)
        .run(x, x, layers, torch.Generator().manual_seed(0))
        .points
        for n_fine, nugget, layers in ((4, 0.1, 2), (np.int64(4), np.float64(0.1), np.int64(2)))
    ]
    assert torch.equal(*ends)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_learned_kernel_moves_points_in_either_precision(data, precision):
    x, y = data
    gamma = 1.5
    learned = kflow.learning.Isotropic(kflow.Gaussian, gamma).freeze()
    moved = flow(kernel=learned, precision=precision).run(x, y, 5, seed())
    expected = flow(kernel=kflow.Gaussian(gamma)).run(x, y, 5, seed()).points
    assert motion_error(moved.points, expected, x) < (1e-9 if precision == "float64" else 1e-4)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (dict(kernel=kflow.Gaussian), TypeError, "not the class"),
        (dict(n_fine=11), ValueError, "n_fine must be even"),
        (dict(kernel=lambda a, b: torch.ones(3)), ValueError, "a matrix of 10 x 10"),
        (dict(kernel=lambda a, b: np.ones((10, 10))), TypeError, "must return a torch.Tensor"),
        (dict(kernel=lambda a, b: a @ b.mT * math.nan), ValueError, "the kernel is NaN"),
        (dict(kernel=lambda a, b: torch.ones(2, 10, 10)), ValueError, "a matrix of 10 x 10"),
        (dict(step=lambda z, g: torch.ones(2)), TypeError, "must return one number"),
        (dict(step=lambda z, g: None), TypeError, "must return one number, not None"),
        (dict(step=kflow.MaxDisplacement), TypeError, "step must be a rule"),
    ],
)
def test_kernels_rules_and_batches_that_are_not_valid_are_refused_by_name(
    data, change, error, says
):
    with pytest.raises(error, match=says):
        flow(**change).run(*data, 2, seed())


@pytest.mark.wrong_types
def test_a_group_that_is_not_torch_s_is_refused(data):
    with pytest.raises(TypeError, match="group must be what shards.joined"):
        flow().run(*data, 2, seed(), group=3)


@pytest.mark.parametrize("shift", [500.0, 1e6])
def test_a_kernel_that_may_see_the_origin_is_right_or_refused_far_from_it(data, shift):
    x, y = data
    learned = kflow.learning.Isotropic(kflow.Gaussian, 1.5).freeze()
    expected = flow().run(x, y, 5, seed()).points
    moved = flow(kernel=learned).run(x + shift, y, 5, seed()).points
    assert motion_error(moved - shift, expected, x) < 1e-13 * shift + 1e-9
    with pytest.raises(ValueError, match="column 0 of x lies more than 32 times its range"):
        flow(kernel=learned, precision="float32").run(x + shift, y, 5, seed())
    still = x.clone()
    still[:, 0] = shift  # what all agree in is no range
    flow(kernel=learned, precision="float32").run(still, y, 5, seed())


@pytest.mark.parametrize("lookahead", [1, 4])
@pytest.mark.parametrize("stop", [True, np.bool_(True), torch.tensor(True)])
def test_an_observer_can_end_the_flow(data, lookahead, stop, tmp_path):
    x, y = data[0].double(), data[1].double()
    rng, other = seed(3), seed(3)
    path = tmp_path / "flow.safetensors"
    asked = []

    def observe(state):
        asked.append(state.layer)
        return {"stop": stop} if state.layer == 6 else None

    def run(**options):
        return flow().run(
            x, y, 20, rng, observe=observe, observe_at=(0, 3, 6, 9), lookahead=lookahead,
            checkpoint=path, keep_layers=tmp_path / "layers", carry=x[:4], **options,
        )  # fmt: skip

    ended, shorter = run(), flow().run(x, y, 6, other, lookahead=lookahead, carry=x[:4])
    assert asked == [0, 3, 6] and ended.observed[6]["stop"] and len(ended.rho) == 6
    assert torch.equal(ended.points, shorter.points) and torch.equal(ended.rho, shorter.rho)
    assert torch.equal(rng.get_state(), other.get_state())
    assert torch.equal(ended.transform(x[:4]), ended.carried)
    rng.manual_seed(3)
    again = run()  # which is finished
    assert asked == [0, 3, 6] and torch.equal(again.points, ended.points)


def test_a_flow_that_is_ended_at_once_moves_nothing(data):
    x, y = data[:2]
    path = flow().run(x, y, 9, seed(), observe=lambda state: {"stop": True}, observe_at=[0])
    assert torch.equal(path.points, x) and len(path.rho) == 0


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_a_point_that_is_no_number_is_seen_among_those_moved_or_carried(lost):
    sound, broken = torch.zeros(3, 2), torch.zeros(3, 2).index_fill(0, torch.tensor([1]), lost)
    for pair in ((broken, sound), (sound, broken), (broken, sound[:0])):
        training, carried = (SimpleNamespace(points=points) for points in pair)
        state = SimpleNamespace(training=training, carried=carried, layer=4)
        with pytest.raises(FloatingPointError, match="at layer 4 the points became NaN"):
            saved_state.refuse_broken(state, Shards.of(3, None))
