"""The public functions and classes of kflow, each as a call whose arguments a `Draw` chooses."""

import functools

import numpy as np
import torch

import kflow
from kflow import data, fluctuations, forecasting, learning
from tests.stress import formulas
from tests.stress.values import Draw, generator
from tests.stress.verdict import Call

EPS = {
    torch.float64: 2.3e-16, torch.float32: 1.2e-7, torch.float16: 1e-3, torch.bfloat16: 8e-3,
}  # fmt: skip
RADIAL = ["Gaussian", "Matern32", "Matern52", "RationalQuadratic", "InverseMultiquadric"]
CALLS = {}
SLOW = set()


def call(make=None, *, slow=False):
    """Register what makes one kind of call; slow ones are drawn less often."""

    def register(make):
        CALLS[make.__name__] = make
        if slow:
            SLOW.add(make.__name__)
        return make

    return register(make) if make else register


def kernel_of(draw: Draw):
    """A radial kernel of sound settings."""
    name = draw.pick(RADIAL)
    shape = {"alpha": draw.pick([0.5, 1.0, 3.0])} if name == "RationalQuadratic" else {}
    return getattr(kflow, name)(draw.pick([0.3, 1.0, 2.0, 10.0]), **shape)


def shaped(result, *shape):
    """What is wrong with the shape of a result."""
    found = tuple(result.shape)
    return None if found == shape else f"shape {found}, not {shape}"


def close(found, wanted, error, scale=None):
    """What is wrong with numbers: they differ by more than the error, times a scale."""
    found = found.detach().double().numpy() if isinstance(found, torch.Tensor) else found
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    scale = max(1.0, float(np.abs(wanted).max(initial=0))) if scale is None else scale
    gap = float(np.abs(found - wanted).max(initial=0))
    return True if gap <= error * scale else f"off by {gap:.2e}, more than {error * scale:.2e}"


@call
def kernels(draw):
    """k(x, z), its settings hostile too."""
    n, d, _ = draw.sizes()
    arguments = dict(
        name=draw.pick(RADIAL), gamma=draw.number("gamma"), alpha=draw.number("alpha"),
        x=draw.points("x", n, d), z=draw.points("z", draw.random.randint(1, 6), d),
    )  # fmt: skip

    def made(name, gamma, alpha):
        shape = {"alpha": alpha} if name == "RationalQuadratic" else {}
        return getattr(kflow, name)(gamma, **shape)

    def run(name, gamma, alpha, x, z):
        return made(name, gamma, alpha)(x, z)

    def check(k, name, gamma, alpha, x, z):
        kernel = made(name, gamma, alpha)
        if wrong := shaped(k, len(x), len(z)):
            return wrong
        eps = max(EPS[k.dtype], EPS[torch.float16] if k.dtype == torch.bfloat16 else 0)
        return close(k, formulas.gram(kernel, x, z), formulas.rounding(kernel, x, z, eps), 1.0)

    return Call("kernel(x, z)", arguments, run, check)


@call
def bandwidth(draw):
    """The bandwidth of some points."""
    n, d, _ = draw.sizes()

    def check(gamma, x):
        x = formulas.wide(x)
        wanted = 2 * len(x) / (len(x) - 1) * x.var(0).sum()
        return close(gamma**2 / float(wanted), 1.0, 1e-9 + 1e-14 * _offset(x))

    def run(x):
        return kflow.Gaussian.for_points(x).gamma

    return Call("Gaussian.for_points", {"x": draw.points("x", n, d)}, run, check)


def _offset(x):
    """How far the points are from the origin, in units of their spread, squared."""
    spread = float(x.std(0).max())
    return (float(np.abs(x).max()) / spread) ** 2 if spread else np.inf


@call
def interpolation(draw):
    """The interpolant at new points, and its energy."""
    n, d, c = draw.sizes()
    arguments = dict(
        kernel=kernel_of(draw), x=draw.points("x", n, d), y=draw.labels("y", n, c),
        nugget=draw.nugget(), x_new=draw.points("x_new", draw.random.randint(1, 4), d),
    )  # fmt: skip

    def run(kernel, x, y, nugget, x_new):
        v = kflow.interpolate(kernel, x, y, nugget)
        return v(x_new), v.energy

    def check(result, kernel, x, y, nugget, x_new):
        values, energy = result
        if wrong := shaped(values, len(x_new), y.shape[1]):
            return wrong
        judge = formulas.Kriging(kernel, x, nugget)
        if not judge.trusted:
            return None
        solved = judge.solve(y)
        wanted = formulas.gram(kernel, x_new, x).astype(float) @ solved
        error = judge.error + formulas.rounding(kernel, x_new, x, 2.3e-16) + EPS[values.dtype]
        least = float(torch.finfo(values.dtype).tiny)  # below it a number of that dtype is 0
        scale = max(least / error, np.abs(solved).sum())
        wrong = close(values, wanted, 10 * error, scale)
        if wrong is True:
            wanted = judge.energy(y)
            wrong = close(energy, wanted, 10 * judge.error, max(abs(wanted), 1e-300))
        return wrong

    return Call("interpolate", arguments, run, check)


@call
def game(draw):
    """rho and its gradient."""
    n, d, c = draw.sizes()
    arguments = dict(
        kernel=kernel_of(draw), z=draw.points("z", n, d), y=draw.labels("y", n, c),
        coarse=draw.coarse(n), nugget=draw.nugget(),
    )  # fmt: skip

    def run(kernel, z, y, coarse, nugget):
        return (kflow.rho(kernel, z, y, coarse, nugget),
                *kflow.rho_and_gradient(kernel, z, y, coarse, nugget))  # fmt: skip

    def check(result, kernel, z, y, coarse, nugget):
        rho, again, gradient = result
        if wrong := shaped(gradient, *z.shape):
            return wrong
        wanted, error = formulas.rho(kernel, z, y, coarse, nugget)
        if wanted is None or error > 1e-6:
            return None
        error = 100 * error + EPS[z.dtype]
        slopes = formulas.gradient(kernel, z, y, coarse, nugget)
        for found, true in ((rho, wanted), (again, wanted), (gradient, slopes)):
            if (wrong := close(found, true, error)) is not True:
                return wrong
        return True

    return Call("rho_and_gradient", arguments, run, check)


@call
def drawn(draw):
    """A draw of the game."""
    arguments = dict(
        n_points=draw.integer("n_points", 2, 50), n_fine=draw.integer("n_fine", 2, 21),
        rng=draw.seed(),
    )  # fmt: skip

    def run(n_points, n_fine, rng):
        return tuple(kflow.draw(n_points, n_fine, generator(rng)))

    def check(sample, n_points, n_fine, rng):
        fine, coarse = sample
        ok = len(set(fine.tolist())) == n_fine and 0 <= fine.min() and fine.max() < n_points
        half = len(set(coarse.tolist())) == n_fine // 2 and coarse.max() < n_fine
        return True if ok and half else "not n_fine different points, and half of them"

    return Call("draw", arguments, run, check)


@call
def steps(draw):
    """A rule of steps."""
    n, d, _ = draw.sizes()
    arguments = dict(
        rule=draw.pick(["Constant", "MaxDisplacement", "RelativeDisplacement"]),
        size=draw.number("delta"), z=torch.from_numpy(draw.numpy.normal(size=(n, d))),
        g=torch.from_numpy(draw.numpy.normal(size=(n, d)) * draw.pick([1, 1e-200, 0])),
    )  # fmt: skip

    def run(rule, size, z, g):
        return getattr(kflow, rule)(size)(z, g)

    def check(eps, rule, size, z, g):
        if np.abs(g.numpy()).max() < 1e-160:
            return None  # its square is 0
        z, speed = z.numpy(), np.sqrt(np.square(g.numpy().astype(np.longdouble)).sum(1))
        size = float(size)
        if rule == "Constant":
            wanted = size
        elif not speed.any():
            wanted = 0
        elif rule == "MaxDisplacement":
            wanted = size / speed.max()
        else:
            ok = speed > 0
            wanted = size * (np.sqrt((z[ok] ** 2).sum(1)) / speed[ok]).min()
        if 0 < wanted < 1e-300:
            return None  # below all numbers with all their digits
        return close(eps / max(float(wanted), 1e-300), float(wanted > 0), 1e-12)

    return Call("a step rule", arguments, run, check)


def _flow(draw, n, d, c):
    """The arguments of a flow."""
    return dict(
        kernel=kernel_of(draw), n_fine=draw.integer("n_fine", 2, max(2, n)),
        step=draw.pick([kflow.Constant(0.1), kflow.MaxDisplacement(0.1),
                        kflow.RelativeDisplacement(0.05)]),
        nugget=draw.nugget(), precision=draw.choice("precision", ["float32", "float64", "mixed"]),
        x=draw.points("x", n, d), y=draw.labels("y", n, c),
        layers=draw.integer("layers", 0, 6, [-1, 0, 2.0, 2.5, "3", None, True, np.int64(3), 1j]),
        rng=draw.seed(), carry=draw.points("carry", 2, d) if draw.random.random() < 0.5 else None,
        observe_at=draw.pick([(), (), (0, 2), [0], {1}, range(3)]) if not draw.odd()
        else draw.pick([(99,), (-1,), 3, None, ("a",), (0.5,), (True,)]),
        keep_layers=draw.pick([False, True]) if not draw.odd() else draw.pick([None, 1, 3.5]),
        lookahead=draw.integer("lookahead", 1, 5, [0, -1, 1.5, "2", None, True, 100]),
        x_new=draw.points("x_new", 3, d),
    )  # fmt: skip


@call
def flow(draw):
    """A flow of a few layers: its points, those carried along, and new ones; one layer by hand."""
    n, d, c = draw.sizes()

    def run(kernel, n_fine, step, nugget, precision, x_new, **others):
        rng = generator(others.pop("rng"))
        observe = (lambda s: {"rho": s.rho.sum(), "at": s.layer}) if others["observe_at"] else None
        chosen = kflow.KernelFlow(kernel, n_fine, step, nugget, precision)
        path = chosen.run(rng=rng, observe=observe, **others)
        moved = path.transform(x_new) if path.layers is not None else None
        return path.points, path.carried, path.rho, path.eps, path.observed, moved

    def check(result, kernel, n_fine, step, nugget, precision, x, y, layers, rng, carry, x_new,
              **_):  # fmt: skip
        points, carried, rho, eps, _, moved = result
        for found, like in ((points, x), (carried, carry), (moved, x_new)):
            if found is not None and (found.shape != like.shape or found.dtype != like.dtype):
                return f"points {tuple(found.shape)} of {found.dtype} from {tuple(like.shape)}"
        if len(rho) != layers or len(eps) != layers:
            return f"{len(rho)} values of rho for {layers} layers"
        if (rho < -1e-9).any() or (rho > 1 + 1e-9).any():
            return f"rho {rho.tolist()} outside of 0 to 1"
        if layers != 1 or precision == "mixed":
            return None
        return _one_layer(kernel, n_fine, step, nugget, precision, x, y, rng, points)

    return Call("KernelFlow.run", _flow(draw, n, d, c), run, check)


def _one_layer(kernel, n_fine, step, nugget, precision, x, y, rng, points):
    """Whether one layer is x + eps K(x, z) (K + nugget I)^-1 (-grad rho)."""
    sample = kflow.draw(len(x), n_fine, generator(rng))
    z, labels = x[sample.fine], y[sample.fine]
    judge = formulas.Kriging(kernel, z, nugget)
    if not judge.trusted or judge.error > 1e-7:
        return None
    wide = x.detach().double().numpy()
    scale = max(1.0, np.abs(wide).max())
    g = -formulas.gradient(kernel, z, labels, sample.coarse, nugget)
    if np.abs(g).max() < 1e-30:  # below it nothing moves
        return None
    eps = float(step(z.detach().double(), torch.from_numpy(g)))
    moved = formulas.gram(kernel, x, z).astype(float) @ judge.solve(eps * g)
    sound = 2.3e-16 if precision == "float64" else 1.2e-7
    amplified = np.abs(judge.solve(eps * g)).sum()  # what rounds K rounds the motion by this much
    spread = formulas.rounding(kernel, x, x, sound)
    error = 1e3 * judge.error * np.abs(moved).max() + 10 * spread * amplified
    error += 10 * max(sound, EPS[points.dtype]) * scale
    if error > 0.1 * max(np.abs(moved).max(), 1e-12):
        return None
    return close(points, wide + moved, error, 1.0)


@call
def effective_ode(draw):
    """The velocity of the effective equation, and the losses of its games."""
    n, d, c = draw.random.randint(2, 6), draw.random.randint(1, 3), 1
    arguments = dict(
        kernel=kernel_of(draw), y=draw.labels("y", n, c),
        n_fine=draw.integer("n_fine", 2, max(2, n)), nugget=draw.nugget(),
        points=draw.points("points", n, d), at=draw.points("at", 2, d),
        expectation=draw.pick([kflow.Exact(), kflow.Exact(3)]) if not draw.odd()
        else draw.pick([None, "all", kflow.Exact(0), kflow.Exact("many"), kflow.Exact]),
    )  # fmt: skip

    def run(kernel, y, n_fine, nugget, points, at, expectation):
        ode = kflow.EffectiveODE(kernel, y, n_fine, nugget, expectation)
        return ode.velocity(points), ode.velocity(points, at), ode.rho(points)

    def check(result, kernel, y, n_fine, nugget, points, at, expectation):
        own, others, rho = result
        there = points if at is None else at
        if wrong := shaped(own, *points.shape) or shaped(others, *there.shape):
            return wrong
        return None if ((rho > -1e-7) & (rho < 1 + 1e-7)).all() else f"rho {rho} outside of 0 to 1"

    return Call("EffectiveODE", arguments, run, check)


@call(slow=True)
def ode_solution(draw):
    """The solution of the effective equation, and what is linearised about it."""
    n, d = draw.random.randint(3, 5), 2
    times = [0.5, [0.1, 0.2], 0.0, np.array([0.5]), [0, 0.1, 0.3]]
    hostile = [-1.0, [0.2, 0.1], [], None, "soon", float("nan"), 1j, [[0.1]], [0.1, 0.1], 5e-324]
    arguments = dict(
        y=draw.labels("y", n, 1), nugget=draw.number("nugget", 0.1, 1.0),
        x=draw.points("x", n, d), t=draw.pick(hostile) if draw.odd() else draw.pick(times),
        at=draw.points("at", 2, d), samples=draw.integer("samples", 1, 4), rng=draw.seed(),
        nodes=draw.integer("nodes", 4, 6), rtol=draw.number("rtol", 1e-6, 1e-3),
        method=draw.choice("method", ["DOP853", "RK45"]),
        max_evaluations=draw.integer("max_evaluations", 100, 300),
    )  # fmt: skip

    def run(y, nugget, x, t, at, samples, rng, nodes, rtol, method, max_evaluations):
        games = kflow.MonteCarlo(samples, generator(rng))
        ode = kflow.EffectiveODE(kflow.Gaussian(1.0), y, 2, nugget, games)
        solution = ode.solve(x, t, at, rtol=rtol, method=method, max_evaluations=max_evaluations)
        there = solution(float(solution.t[-1]))
        if draw.said or float(solution.t[-1]) < 1e-3:
            return solution.points, solution.at, there
        linear = fluctuations.linearise(ode, solution, nodes)
        more = fluctuations.replicas(ode, solution, linear, 0.1, [0, 2], 3, generator(rng))
        return solution.points, solution.at, there, linear.covariance([0.1]), more.points

    def check(result, x, at, t, **_):
        points, carried, there, *_ = result
        moments = np.size(t)
        wrong = shaped(points, moments, *x.shape)
        wrong = wrong or (None if at is None else shaped(carried, moments, *at.shape))
        return wrong or close(there, points[-1].double().numpy(), 1e-3) and None

    return Call("EffectiveODE.solve", arguments, run, check)


@call(slow=True)
def fluctuation(draw):
    """The arguments of what is linearised, and of replicas, beyond their bounds."""
    arguments = dict(
        nodes=draw.integer("nodes", 4, 6), eps=draw.number("eps", 0.01, 0.2),
        layers=draw.pick([[0], [0, 2], (1,), 2, None, [], [-1], ["a"], [2, 0], [0.5]]),
        count=draw.integer("count", 1, 3), rng=draw.seed(),
        times=draw.pick([[0.1], 0.05, [], [-1.0], [9.0], [float("nan")], "t", None, [0.2, 0.1]]),
    )  # fmt: skip

    def run(nodes, eps, layers, count, rng, times):
        ode, solution = _solved()
        linear = fluctuations.linearise(ode, solution, nodes)
        found = fluctuations.replicas(ode, solution, linear, eps, layers, count, generator(rng))
        return tuple(found), linear.covariance(times)

    return Call("fluctuations", arguments, run)


@functools.cache
def _solved():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.1], [0.2, 1.0]], dtype=torch.float64)
    y = torch.tensor([[1.0], [-1.0], [1.0]], dtype=torch.float64)
    ode = kflow.EffectiveODE(kflow.Gaussian(1.0), y, 2, 0.1)
    return ode, ode.solve(x, 0.3, rtol=1e-6, atol=1e-6)


@call
def classification(draw):
    """The error rate of an interpolant on some of the points."""
    n, d, c = draw.sizes()
    m = draw.random.randint(1, 5)
    arguments = dict(
        kernel=kernel_of(draw), x=draw.points("x", n, d), y=draw.labels("y", n, c),
        x_test=draw.points("x_test", m, d), y_test=draw.labels("y_test", m, c),
        n_interp=draw.integer("n_interp", 1, n), rng=draw.seed(), nugget=draw.nugget(),
        per_class=draw.flag("per_class"),
    )  # fmt: skip

    def run(rng, **others):
        return kflow.error_rate(rng=generator(rng), **others)

    def check(rate, **_):
        return None if 0 <= rate <= 1 else f"a rate of {rate}"

    return Call("error_rate", arguments, run, check)


@call
def error_table(draw):
    """The table of errors over layers."""
    rates = {
        k: {n: draw.random.random() for n in (2, 10)} for k in range(draw.random.randint(1, 4))
    }
    if draw.odd():
        rates = draw.pick(
            [{}, None, [], {0: {}}, {0: {1: float("nan")}}, {0: {1: "much"}}, {0: 0.5},
             {0: {1: 0.5}, 1: {2: 0.5}}, "rates", {0: None}, {0: {1: None}}, {0: {"a": 0.5}}]
        )  # fmt: skip
        draw.said.append(f"rates: {rates}")

    def check(table, rates):
        wanted = {n: np.mean([rates[k][n] for k in rates]) for n in next(iter(rates.values()))}
        found = table["average"]
        return close([found[n] for n in wanted], list(wanted.values()), 1e-12)

    return Call("error_table", {"rates": rates}, kflow.error_table, check, finite=False)


def learned_kernel(draw, d):
    """A kernel with parameters; and its settings, hostile too."""
    base = draw.pick([kflow.Gaussian, kflow.Matern52, kflow.Matern32(1.0)])
    if draw.odd():
        base = draw.pick([None, "gaussian", kflow.Gaussian(2.0), 1.0, kflow.KernelFlow, torch.exp])
    gamma = draw.pick([None, 1.0, [1.0] * d, torch.ones(d), np.ones(d)])
    if draw.odd():
        gamma = draw.pick([0, -1.0, float("nan"), "wide", [1.0] * (d + 1), 1e9, [[1.0]], 1j, []])
    bounds = (1e-3, 1e3)
    if draw.odd():
        bounds = draw.pick([None, (1, 1), (2, 1), (0, 1), (1e-3,), "ab", (-1, 1), (1, float("inf")),
                            (float("nan"), 1), (1e-320, 1e300)])  # fmt: skip
    size = draw.integer("n_features", d, d)
    draw.said += [f"base {base}, gamma {gamma}, bounds {bounds}"] * draw.odd()
    single = 1.0 if gamma is None else gamma
    makers = {
        "ARD": lambda: learning.ARD(base, size, gamma, bounds),
        "Isotropic": lambda: learning.Isotropic(base, single, bounds),
        "Metric": lambda: learning.Metric(base, size, draw_rank),
        "Periodic": lambda: learning.Periodic(2.0, single, base, bounds),
        "Polynomial": lambda: learning.Polynomial(size, degree, gamma, bounds),
        "Linear": lambda: learning.Linear(size, gamma, bounds),
        "Sum": lambda: 0.5 * learning.ARD(base, size, gamma, bounds) + learning.Linear(size),
        "Product": lambda: learning.Isotropic(base, single) * learning.Linear(size, gamma),
        "Weighted": lambda: learning.Weighted(learning.Isotropic(base), weight, bounds),
        "Frozen": lambda: learning.ARD(base, size, gamma, bounds).freeze(),
    }
    draw_rank, degree = draw.integer("rank", 1, d), draw.integer("degree", 1, 3)
    weight = draw.number("weight", 0.1, 10)
    return makers[draw.pick(makers)]


@call
def learned_kernels(draw):
    """Kernels with parameters: made, and called."""
    n, d, _ = draw.sizes()
    arguments = dict(
        make=learned_kernel(draw, d), x=draw.points("x", n, d), z=draw.points("z", 3, d)
    )

    def run(make, x, z):
        kernel = make()
        return (kernel(x).detach(), kernel(x, z).detach(), kernel.diagonal(x).detach(),
                kernel.values())  # fmt: skip

    def check(result, make, x, z):
        own, other, diagonal, _ = result
        wrong = shaped(own, len(x), len(x)) or shaped(other, len(x), len(x if z is None else z))
        wrong = wrong or shaped(diagonal, len(x))
        return wrong or close(own.diagonal(), diagonal.numpy(), 1e-6, 1 + own.abs().sum())

    return Call("a kernel of kflow.learning", arguments, run, check)


def _criterion(draw):
    n_fine = draw.pick([None, draw.integer("n_fine", 2, 10)])
    halves, k = draw.integer("halves", 1, 3), draw.integer("k", 2, 5)
    norm = draw.choice("norm", ["energy", "native"])
    loss = draw.choice("loss", ["log_squared", "log_predictive"])
    makers = [
        lambda: learning.Rho(n_fine, halves, norm, False), lambda: learning.Rho(),
        lambda: learning.HiddenHalf(n_fine, halves), lambda: learning.LeaveOneOut(n_fine, loss),
        lambda: learning.KFold(k, n_fine), lambda: learning.MarginalLikelihood(n_fine),
    ]  # fmt: skip
    return draw.pick(makers)


@call(slow=True)
def learn(draw):
    """Learning a kernel for some steps."""
    n, d, c = draw.random.randint(4, 12), draw.random.randint(1, 3), draw.random.randint(1, 2)
    make = learned_kernel(draw, d)
    arguments = dict(
        make=make, x=draw.points("x", n, d), y=draw.labels("y", n, c),
        make_criterion=_criterion(draw),
        nugget=draw.number("nugget", 1e-3, 1), learn_nugget=draw.flag("learn_nugget"),
        refit_nugget=draw.flag("refit_nugget"),
        steps=draw.integer("steps", 0, 6, [-1, 2.0, "3", None, True]),
        lr=draw.number("lr", 0.01, 0.2), games=draw.integer("games", 1, 3),
        check_every=draw.integer("check_every", 1, 4), patience=draw.integer("patience", 1, 9),
        starts=draw.integer("starts", 1, 2, [0, -1, "2", None, 1.5]), rng=draw.seed(),
    )  # fmt: skip

    def run(make, x, y, make_criterion, rng, **others):
        learned = kflow.learning.learn(
            make(), x, y, make_criterion(), rng=generator(rng), **others
        )  # fmt: skip
        return learned.nugget, learned.criterion, learned.kernel.values(), learned.history.loss

    return Call("learn", arguments, run)


@call
def loo_nugget(draw):
    """The nugget by leaving one out."""
    n, d, c = draw.sizes()
    arguments = dict(
        kernel=kernel_of(draw), x=draw.points("x", n, d), y=draw.labels("y", n, c),
        rng=draw.seed(), most=draw.integer("most", 2, 20),
        loss=draw.choice("loss", ["log_squared", "log_predictive"]),
    )  # fmt: skip

    def run(kernel, x, y, rng, most, loss):
        return learning.loo_nugget(kernel, x, y, generator(rng), most, loss)

    def check(nugget, **_):
        return None if 1e-10 < nugget < 1e4 else f"a nugget of {nugget}"

    return Call("loo_nugget", arguments, run, check)


@call
def posterior(draw):
    """The Gaussian process given labels: means, deviations, covariances, draws."""
    n, d, c = draw.sizes()
    arguments = dict(
        kernel=kernel_of(draw), x=draw.points("x", n, d), y=draw.labels("y", n, c),
        nugget=draw.nugget(), x_new=draw.points("x_new", 3, d), noise=draw.flag("noise"),
        amplitude=None if draw.random.random() < 0.5 else draw.number("amplitude", 0.1, 3),
        size=draw.integer("size", 1, 4), rng=draw.seed(),
    )  # fmt: skip

    def run(kernel, x, y, nugget, x_new, noise, amplitude, size, rng):
        process = learning.condition(kernel, x, y, nugget, amplitude)
        return (process.mean(x_new), process.std(x_new, noise), process.covariance(x_new, noise),
                process.sample(x_new, size, generator(rng), noise), process.leave_one_out(),
                bounded(process), process.amplitude)  # fmt: skip

    def bounded(process):  # it is infinite where all labels are 0
        return torch.where(process.amplitude > 0, process.log_likelihood(), 0.0)

    def check(result, kernel, x, y, nugget, x_new, noise, size, **_):
        mean, std, covariance, sample, (left, _), likelihood, amplitude = result
        m, c = len(x_new), y.shape[1]
        wrong = shaped(mean, m, c) or shaped(std, m, c) or shaped(covariance, c, m, m)
        wrong = wrong or shaped(sample, size, m, c) or shaped(left, *y.shape)
        judge = formulas.Kriging(kernel, x, nugget)
        if wrong or not judge.trusted or judge.error > 1e-7:
            return wrong
        k = formulas.gram(kernel, x_new, x).astype(float)
        solved = judge.solve(y)
        error = 100 * (judge.error + formulas.rounding(kernel, x_new, x, 2.3e-16))
        wrong = close(mean, k @ solved, error, np.abs(solved).sum() + 1e-300)
        own = formulas.gram(kernel, x_new, x_new).astype(float) - k @ judge.solve(k.T)
        own = own + bool(noise) * float(nugget) * np.eye(m)
        amplitude = amplitude.numpy()
        wide = own[None] * amplitude[:, None, None]
        size = max(amplitude.max(), 1e-300)
        other = close(covariance, wide, error, size)
        if wrong is not True or other is not True:
            return wrong if wrong is not True else other
        values = np.sqrt(np.clip(np.diagonal(wide, axis1=1, axis2=2), 0, None)).T
        return close(std, values, error**0.5, size**0.5)

    return Call("condition", arguments, run, check)


MANNERS = ("sklearn", "pandas")


@call(slow=True)
def classifier(draw):
    """A classifier: fitted, and asked for predictions."""
    n, d = draw.random.randint(4, 14), draw.random.randint(1, 4)
    settings = dict(
        layers=draw.pick([0, 2, 4]) if not draw.odd()
        else draw.pick(["auto", -1, None, 1.5, "many", True]),
        n_fine=draw.pick([None, draw.integer("n_fine", 2, 8)]), gamma=draw.number("gamma", 0.3, 3),
        delta=draw.number("delta", 0.01, 0.2), nugget=draw.number("nugget", 0.1, 2),
        interp_nugget=draw.pick([1.0, "loo", draw.number("interp_nugget")]),
        n_interp=draw.integer("n_interp", 2, 20),
        precision=draw.choice("precision", ["float32", "float64"]),
        device=draw.choice("device", ["cpu"]),
        random_state=draw.pick([0, None, 5]) if not draw.odd()
        else draw.pick([-1, 2.5, "seed", np.random.default_rng(0), np.int64(3), 10**30, 2**64]),
    )  # fmt: skip
    if settings["random_state"] is None:
        settings["random_state"] = 1
    arguments = dict(
        settings=settings, X=draw.table("X", n, d), y=draw.classes(n), new=draw.table("new", 3, d)
    )

    def run(settings, X, y, new):  # noqa: N803
        model = kflow.KernelFlowClassifier(**settings).fit(X, y)
        return model.predict(new), model.decision_function(new), model.transform(new)

    def check(result, settings, X, y, new):  # noqa: N803
        wrong = None if len(result[0]) == len(result[1]) == len(result[2]) else "lengths differ"
        return wrong or (None if set(result[0].tolist()) <= set(np.asarray(y).ravel().tolist())
                         else "a class that is none of the labels")  # fmt: skip

    return Call("KernelFlowClassifier", arguments, run, check, MANNERS)


@call(slow=True)
def regressor(draw):
    """A regressor: fitted, and asked for predictions with error bars."""
    n, d = draw.random.randint(4, 14), draw.random.randint(1, 4)
    settings = dict(
        kernel=draw.choice("kernel", ["matern52", "gaussian", "rational_quadratic"]),
        ard=draw.flag("ard"),
        criterion=draw.choice("criterion", ["likelihood", "loo", "rho", "half", "kfold"]),
        n_fine=draw.pick([None, draw.integer("n_fine", 2, 9)]),
        nugget=draw.pick(["learn", draw.number("nugget", 1e-3, 1)]),
        refit_nugget=draw.flag("refit_nugget"),
        steps=draw.integer("steps", 0, 4, [-1, "3", None, 1.5]),
        starts=draw.integer("starts", 1, 2, [0, -1, "2", None]),
        n_interp=draw.pick([None, draw.integer("n_interp", 2, 20)]),
        normalize_y=draw.flag("normalize_y"), device=draw.choice("device", ["cpu"]),
        random_state=draw.pick([0, 5, np.int32(4)]) if not draw.odd()
        else draw.pick([-1, 2.5, "seed", np.random.default_rng(0), 10**30, True]),
    )  # fmt: skip
    arguments = dict(
        settings=settings, X=draw.table("X", n, d), y=draw.targets(n),
        new=draw.table("new", 3, d),
        how=draw.pick([{}, {"return_std": True}, {"return_cov": True},
                       {"return_std": True, "noise": True},
                       {"return_std": True, "return_cov": True}]),
        n_samples=draw.integer("n_samples", 1, 3),
    )  # fmt: skip

    def run(settings, X, y, new, how, n_samples):  # noqa: N803
        model = kflow.KernelFlowRegressor(**settings).fit(X, y)
        return (model.predict(new, **how), model.sample(new, n_samples), model.loo_predictions_,
                model.log_marginal_likelihood_)  # fmt: skip

    def check(result, settings, X, y, new, how, n_samples):  # noqa: N803
        predicted = result[0][0] if how else result[0]
        own = np.shape(predicted)[1:]
        spread = np.shape(result[1])[1:]
        return None if spread == (*own, int(n_samples)) else f"draws {spread} of values {own}"

    return Call("KernelFlowRegressor", arguments, run, check, MANNERS)


@call
def forecasts(draw):
    """Delays, scales, times of validity."""
    n, d = draw.random.randint(3, 14), draw.random.randint(1, 3)
    arguments = dict(
        series=draw.table("series", n, d), delays=draw.integer("delays", 1, 3),
        gap=draw.integer("gap", 1, 2), threshold=draw.number("threshold"),
        scale=draw.pick([1.0, [1.0] * d]) if not draw.odd()
        else draw.pick([0.0, "sd", None, [1.0] * (d + 1), float("nan"), -1.0, [0.0] * d]),
        dt=draw.number("dt"), exponent=draw.pick([None, draw.number("exponent")]),
    )  # fmt: skip

    def run(series, delays, gap, threshold, scale, dt, exponent):
        x, y = forecasting.embed(series, delays, gap)
        time = forecasting.valid_time(y, y + 0.1, scale, threshold, dt, exponent)
        return x, y, forecasting.scale_of(series), time

    def check(result, series, delays, gap, **_):
        x, y, _, _ = result
        values = np.asarray(series, float).reshape(len(series), -1)
        start = (delays - 1) * gap
        row = np.concatenate([values[start - i * gap] for i in range(delays)])
        return close(x[0], row, 0, 1.0) if len(x) == len(y) == len(values) - start - 1 else "rows"

    return Call("embed, valid_time", arguments, run, check)


@call
def systems(draw):
    """Dynamical systems, and their largest exponent."""
    name = draw.pick(["logistic", "henon", "lorenz63", "lorenz96"])
    settings = {
        "logistic": lambda: {"r": draw.number("r", 3, 4)},
        "henon": lambda: {"a": draw.number("a", 1, 1.4), "b": draw.number("b", 0.1, 0.3)},
        "lorenz63": lambda: {"dt": draw.number("dt", 0.01, 0.05)},
        "lorenz96": lambda: {"variables": draw.integer("variables", 4, 6),
                             "dt": draw.number("dt", 0.01, 0.05)},
    }[name]()  # fmt: skip
    arguments = dict(
        name=name, settings=settings, n=draw.integer("n", 1, 20), seed=draw.integer("seed", 0, 9),
        transient=draw.integer("transient", 0, 20), steps=draw.integer("steps", 20, 40),
        separation=draw.number("separation", 1e-8, 1e-6),
    )  # fmt: skip

    def run(name, settings, n, seed, transient, steps, separation):
        system = getattr(forecasting, name)(**settings)
        series = system.series(n, seed, transient=transient)
        exponent = forecasting.largest_exponent(
            system.step, series[-1], steps, system.dt, separation
        )
        return series, exponent

    def check(result, n, **_):
        return None if len(result[0]) == n else f"{len(result[0])} states, not {n}"

    return Call("a system's series", arguments, run, check)


@call(slow=True)
def one_step(draw):
    """A map to the next value, learned from a series and iterated."""
    from sklearn.linear_model import Ridge

    n, d = draw.random.randint(5, 14), draw.random.randint(1, 2)
    times = np.cumsum(draw.numpy.uniform(0.5, 1.5, size=n + 3))
    regular = draw.random.random() < 0.6
    arguments = dict(
        regressor=Ridge() if not draw.odd() else draw.pick([None, Ridge, "ridge", 3]),
        delays=draw.integer("delays", 1, 2), gap=draw.integer("gap", 1, 2),
        difference=draw.flag("difference"), series=draw.table("series", n, d),
        times=None if regular else draw.pick([times[:n], times[:n].tolist()]) if not draw.odd()
        else draw.pick([times[:n][::-1], times[: n - 1], "now", np.full(n, np.nan), [np.inf]]),
        horizon=draw.integer("horizon", 1, 3, [0, -1, None, 2.5, "2", True]),
        later=times[n:] if not draw.odd()
        else draw.pick([times[:2], [], None, [np.nan], "later", [[9.0]]]),
        last=None if draw.random.random() < 0.6 else draw.table("last", 6, d),
    )  # fmt: skip

    def run(regressor, delays, gap, difference, series, times, horizon, later, last):
        made = forecasting.OneStepMap(regressor, delays, gap, difference).fit(series, times)
        if times is not None:
            return made.forecast(times=later)
        return made.predict(series), made.forecast(horizon, last)

    return Call("OneStepMap", arguments, run, None, (*MANNERS, "scipy"))  # Ridge warns by it


@call
def swiss_roll(draw):
    """The points of the Swiss roll."""
    arguments = dict(
        n=draw.integer("n", 2, 40), rng=draw.seed(), noise=draw.number("noise", 0.01, 1)
    )

    def run(n, rng, noise):
        return data.swiss_roll(n, rng=generator(rng), noise=noise)

    def check(result, n, **_):
        x, y = result
        sizes = x.shape == (n, 2) and y.shape == (n, 1)
        return True if sizes and int((y > 0).sum()) == (n + 1) // 2 else "not half of each arm"

    return Call("data.swiss_roll", arguments, run, check)
