"""Kernel Flows (Owhadi and Yoo, arXiv:1808.04475): kernels learned by halving the data."""

from kflow.checks import NotPositiveDefinite
from kflow.game import Sample, draw, rho, rho_and_gradient
from kflow.interpolation import Interpolant, interpolate
from kflow.kernels import (
    Gaussian,
    InverseMultiquadric,
    Matern32,
    Matern52,
    RationalQuadratic,
)

__all__ = [
    "Gaussian",
    "Interpolant",
    "InverseMultiquadric",
    "Matern32",
    "Matern52",
    "NotPositiveDefinite",
    "RationalQuadratic",
    "Sample",
    "draw",
    "interpolate",
    "rho",
    "rho_and_gradient",
]
