"""Kernels: what 'near' means. All are radial, k(x, x') = phi(|x - x'|^2), with k(x, x) = 1."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad

from kflow import checks
from kflow.distances import mean_squared_distance, squared_distances

FAR = 1e4  # times bandwidths


@dataclass(frozen=True)
class Radial(ABC):
    """A radial kernel of bandwidth gamma, from 1e-18 to 1e18, in the units of x."""

    gamma: float

    def __init_subclass__(cls, **options):
        """A class with a phi or a slope of its own does not inherit another's forms in place."""
        super().__init_subclass__(**options)
        if vars(cls).keys() & {"of_squared", "slope"} and "of_squared_" not in vars(cls):
            cls.of_squared_, cls.times_slope_ = Radial.of_squared_, Radial.times_slope_

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, checks.number(name, value, above=0))
        least, most = checks.BANDWIDTHS
        checks.number("gamma", self.gamma, least=least, most=most)

    def __call__(self, x: Float[Tensor, "n d"], z: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """The matrix k(x_i, z_j).

        Raises ValueError or TypeError where x and z are not finite matrices of equal width.
        """
        checks.matrix("x", x)
        checks.matrix("z", z, columns=x.shape[1])
        checks.same_place("z", z, "x", x)
        checks.same_dtype("z", z, "x", x)
        near = x.float() if x.dtype.itemsize < 4 else x  # squares of half precision overflow
        far = near if z is x else z.to(near)
        return self.of_own_squared(squared_distances(near, far, self.gamma)).to(x)

    @abstractmethod
    def of_squared(self, r2: Tensor) -> Tensor:
        """phi of the squared distances r2."""

    @abstractmethod
    def slope(self, r2: Tensor) -> Tensor:
        """phi', the derivative of phi with respect to r2."""

    def of_squared_(self, r2: Tensor) -> tuple[Tensor, Tensor]:
        """phi(r2), and what `times_slope_` takes beside it; in the place of r2 where that serves.

        A large matrix less, and an exponential less, for phi and slope share it. Not for autograd.
        """
        return self.of_squared(r2), r2

    def of_own_squared(self, r2: Tensor) -> Tensor:
        """phi of an r2 that nobody else holds: in its place, unless autograd needs it."""
        return self.of_squared(r2) if followed(r2) else self.of_squared_(r2)[0]

    def times_slope_(self, w: Tensor, beside: Tensor) -> Tensor:
        """w times phi', in the place of w, from what `of_squared_` gave beside phi."""
        return w.mul_(self.slope(beside))

    @classmethod
    def for_points(cls, x: Float[Tensor, "n d"], **shape):
        r"""The kernel whose gamma^2 is the mean of $|x_i - x_j|^2$ over all pairs i != j."""
        checks.matrix("x", x)
        if len(x) < 2:
            raise ValueError(f"x must hold at least 2 points to have a distance, not {len(x)}")
        gamma2 = mean_squared_distance(x)
        if gamma2 == 0 or not (x != x[0]).any():  # the mean of equal points is rounded, too
            raise ValueError("all points of x coincide, so no bandwidth fits them; give gamma")
        return cls(gamma=math.sqrt(gamma2), **shape)


def followed(value: Tensor) -> bool:
    """Whether autograd follows a value, backward or forward: then it must not be overwritten."""
    return value.requires_grad or forward_ad.unpack_dual(value).tangent is not None


def _scaled_root(r2: Tensor, scale: float) -> Tensor:
    """The distance times a scale, with derivative 0 (not infinity) where it is 0.

    Beyond FAR the kernels of it are 0, and infinity times that 0 would be NaN.
    """
    apart = r2 != 0  # NaN stays NaN
    return (torch.where(apart, r2, 1.0).sqrt() * apart * scale).clamp_max(FAR)


def _root_(r2: Tensor, scale: float) -> Tensor:
    """`_scaled_root` in the place of r2."""
    return r2.sqrt_().mul_(scale).clamp_max_(FAR)


@dataclass(frozen=True)
class Gaussian(Radial):
    r"""$\exp(-r^2/\gamma^2)$, the kernel of the talk."""

    def of_squared(self, r2):
        return (r2 / -(self.gamma**2)).exp_()

    def slope(self, r2):
        return self.of_squared(r2) / -(self.gamma**2)

    def of_squared_(self, r2):
        values = r2.div_(-(self.gamma**2)).exp_()
        return values, values

    def times_slope_(self, w, beside):
        return w.mul_(beside).div_(-(self.gamma**2))


@dataclass(frozen=True)
class Matern32(Radial):
    r"""$(1 + s)\,e^{-s}$ with $s = \sqrt3\, r/\gamma$."""

    def of_squared(self, r2):
        s = _scaled_root(r2, math.sqrt(3) / self.gamma)
        return (1 + s) * torch.exp(-s)

    def slope(self, r2):
        s = _scaled_root(r2, math.sqrt(3) / self.gamma)
        return torch.exp(-s) * (-1.5 / self.gamma**2)

    def of_squared_(self, r2):
        s = _root_(r2, math.sqrt(3) / self.gamma)
        e = s.neg().exp_()
        return s.add_(1).mul_(e), e

    def times_slope_(self, w, beside):
        return w.mul_(beside).mul_(-1.5 / self.gamma**2)


@dataclass(frozen=True)
class Matern52(Radial):
    r"""$(1 + s + s^2/3)\,e^{-s}$ with $s = \sqrt5\, r/\gamma$."""

    def of_squared(self, r2):
        s = _scaled_root(r2, math.sqrt(5) / self.gamma)
        e = torch.exp(-s)
        return e + s * e + s * (s * e) / 3

    def slope(self, r2):
        s = _scaled_root(r2, math.sqrt(5) / self.gamma)
        return (1 + s) * torch.exp(-s) * (-5 / (6 * self.gamma**2))

    def of_squared_(self, r2):
        s = _root_(r2, math.sqrt(5) / self.gamma)
        e = s.neg().exp_()
        product = s * e
        e += product
        return s.mul_(product).div_(3).add_(e), e

    def times_slope_(self, w, beside):
        return w.mul_(beside).mul_(-5 / (6 * self.gamma**2))


@dataclass(frozen=True)
class RationalQuadratic(Radial):
    r"""$(1 + r^2/(\alpha\gamma^2))^{-\alpha}$, alpha from 1e-6 to 1e6.

    It tends to the Gaussian as alpha grows.
    """

    alpha: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        checks.number("alpha", self.alpha, least=1e-6, most=1e6)

    def of_squared(self, r2):
        return torch.exp(-self.alpha * self._logarithm(r2))

    def slope(self, r2):
        return torch.exp((-self.alpha - 1) * self._logarithm(r2)) / -(self.gamma**2)

    def _logarithm(self, r2):
        """Not by a power, which loses the digits of a small r2 where alpha is large."""
        return torch.log1p(r2 / self.gamma**2 / self.alpha)

    def of_squared_(self, r2):
        r2.div_(self.gamma**2).div_(self.alpha)
        values = r2.log1p().mul_(-self.alpha).exp_()
        return values, torch.div(values, r2.add_(1), out=r2)

    def times_slope_(self, w, beside):
        return w.mul_(beside).div_(-(self.gamma**2))


@dataclass(frozen=True)
class InverseMultiquadric(Radial):
    r"""$(1 + r^2/\gamma^2)^{-1/2}$."""

    def of_squared(self, r2):
        return (1 + r2 / self.gamma**2).rsqrt()

    def slope(self, r2):
        return (1 + r2 / self.gamma**2).pow(-1.5) / (-2 * self.gamma**2)

    def of_squared_(self, r2):
        r2.div_(self.gamma**2).add_(1)
        values = r2.rsqrt()
        return values, torch.div(values, r2, out=r2)

    def times_slope_(self, w, beside):
        return w.mul_(beside).div_(-2 * self.gamma**2)
