"""The kernels with parameters: radial ones with bandwidths or a metric, periodic, polynomial."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from kflow import checks
from kflow.kernels import Gaussian, Radial
from kflow.learning.gram import radial_gram
from kflow.learning.parametric import ParametricKernel, Positive

MOST = 10**6  # features
PERIODS = 1e11  # from the origin, up to which float64 holds a phase to 1e-4
BOUNDS = (1e-3, 1e3)  # of bandwidths, for features of standard deviation one


def _base(base) -> Radial:
    """A radial kernel of bandwidth one, from one, or from its class."""
    if isinstance(base, type) and issubclass(base, Radial):
        base = base(1.0)
    if not isinstance(base, Radial):
        raise TypeError(f"base must be a radial kernel, as Gaussian(1.0) is, not {base!r}")
    if base.gamma != 1:
        raise ValueError(
            f"base must have gamma = 1, not {base.gamma:g}: the bandwidths are the parameters, "
            "so give them as gamma"
        )
    return base


class RadialOfFeatures(ParametricKernel):
    """A radial kernel of features of the points."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The points that the radial kernel sees."""

    def gram(self, x, z):  # noqa: D102
        a = self.features(x)
        return radial_gram(self.base, a, a if z is x else self.features(z))

    def diagonal(self, x):  # noqa: D102
        return torch.ones(len(x), dtype=torch.float64, device=x.device)


class _Scaled(RadialOfFeatures):
    """base(x / gamma)."""

    def __init__(self, base, gamma, bounds, size):
        super().__init__()
        self.base, self.columns = _base(base), size
        self._gamma = Positive("gamma", gamma, bounds, size)

    @property
    def gamma(self) -> Tensor:
        """The bandwidth, or the bandwidths, in the units of the features."""
        return self._gamma()

    def features(self, x: Tensor) -> Tensor:
        """x / gamma, the points in units of the bandwidths."""
        return x / self.gamma


class Isotropic(_Scaled):
    """A radial kernel with one learned bandwidth: base(x / gamma)."""

    def __init__(self, base: Radial | type[Radial] = Gaussian, gamma=1.0, bounds=BOUNDS):
        checks.number("gamma", gamma, above=0)
        super().__init__(base, gamma, bounds, None)


class ARD(_Scaled):
    """A radial kernel with a learned bandwidth for each feature: automatic relevance determination.

    A feature with a bandwidth far above its spread does not matter. By default all start at
    sqrt(n_features), for features of standard deviation one.
    """

    def __init__(self, base: Radial | type[Radial], n_features: int, gamma=None, bounds=BOUNDS):
        n_features = checks.integer("n_features", n_features, least=1, most=MOST)
        gamma = math.sqrt(n_features) if gamma is None else gamma
        super().__init__(base, gamma, bounds, n_features)


class Metric(RadialOfFeatures):
    """A radial kernel of learned linear features, base(x A): a full metric, or one of low rank.

    A is (n_features, rank) and starts at the leading columns of I / sqrt(n_features).
    """

    def __init__(self, base: Radial | type[Radial], n_features: int, rank: int | None = None):
        super().__init__()
        n_features = checks.integer("n_features", n_features, least=1, most=MOST)
        rank = n_features if rank is None else rank
        checks.integer("rank", rank, least=1, most=n_features)
        self.base, self.columns = _base(base), n_features
        start = torch.eye(n_features, rank, dtype=torch.float64, device="cpu") / math.sqrt(
            n_features
        )
        self.matrix = nn.Parameter(start)

    def features(self, x: Tensor) -> Tensor:
        """x A."""
        return x.to(self.matrix) @ self.matrix


class Periodic(RadialOfFeatures):
    r"""A kernel of period p in each feature: base of the points on circles of radius one.

    For the Gaussian $\exp(-4\sin^2(\pi |x-z|/p)/\gamma^2)$.
    """

    def __init__(
        self, period=1.0, gamma=1.0, base: Radial | type[Radial] = Gaussian, bounds=BOUNDS
    ):
        super().__init__()
        checks.number("period", period, above=0)
        checks.number("gamma", gamma, above=0)
        self.base = _base(base)
        self._period = Positive("period", period, bounds)
        self._gamma = Positive("gamma", gamma, bounds)

    @property
    def period(self) -> Tensor:
        """The period, in the units of the features."""
        return self._period()

    @property
    def gamma(self) -> Tensor:
        """The bandwidth, for circles of radius one."""
        return self._gamma()

    def features(self, x: Tensor) -> Tensor:
        """The points on circles of radius 1 / gamma."""
        farthest = float(x.detach().abs().max()) if x.numel() else 0.0
        if farthest > PERIODS * float(self.period.detach()):
            raise ValueError(
                f"points lie up to {farthest:.3g} from the origin, more than {PERIODS:g} periods, "
                "where float64 holds no phase; subtract a centre from them"
            )
        angle = x * (2 * math.pi / self.period)
        return torch.cat([angle.cos(), angle.sin()], dim=1) / self.gamma


class Polynomial(ParametricKernel):
    r"""$(1 + \sum_j x_j z_j / \gamma_j^2)^{\text{degree}}$, a learned gamma for each feature."""

    def __init__(self, n_features: int, degree: int = 2, gamma=None, bounds=BOUNDS):
        super().__init__()
        n_features = checks.integer("n_features", n_features, least=1, most=MOST)
        self.degree = checks.integer("degree", degree, least=1, most=1000)
        self.columns = n_features
        gamma = math.sqrt(n_features) if gamma is None else gamma
        self._gamma = Positive("gamma", gamma, bounds, n_features)

    @property
    def gamma(self) -> Tensor:
        """The scale of each feature."""
        return self._gamma()

    def gram(self, x, z):  # noqa: D102
        base = 1 + (x / self.gamma.square()) @ z.to(torch.float64).mT
        largest = float(base.detach().abs().max()) if base.numel() else 0.0
        if largest > 1 and self.degree * math.log10(largest) > 300:
            raise ValueError(
                f"points are too large for degree {self.degree}: {largest:.3g} to that power is no "
                "number; standardise the features, or take a lower degree"
            )
        return base**self.degree

    def diagonal(self, x):  # noqa: D102
        return (1 + (checks.wide(x) / self.gamma).square().sum(1)) ** self.degree


class Linear(Polynomial):
    r"""$1 + \sum_j x_j z_j / \gamma_j^2$: ridge regression with an offset, scales learned."""

    def __init__(self, n_features: int, gamma=None, bounds=BOUNDS):
        super().__init__(n_features, 1, gamma, bounds)
