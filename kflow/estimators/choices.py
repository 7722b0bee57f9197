"""Kernels and criteria by name, as a grid search wants them."""

from collections.abc import Callable

from kflow import checks, kernels
from kflow.learning import (
    ARD,
    HiddenHalf,
    Isotropic,
    KFold,
    LeaveOneOut,
    MarginalLikelihood,
    Rho,
)

KERNELS = {
    "gaussian": kernels.Gaussian,
    "matern32": kernels.Matern32,
    "matern52": kernels.Matern52,
    "rational_quadratic": kernels.RationalQuadratic,
}
CRITERIA: dict[str, Callable] = {
    "loo": LeaveOneOut,
    "rho": Rho,
    "half": HiddenHalf,
    "kfold": lambda n_fine: KFold(5, n_fine),
    "likelihood": MarginalLikelihood,
}
BATCH = 400  # points of a batch where n_fine is None


def kernel(chosen, ard: bool, n_features: int):
    """The kernel of that name, for standardised features, or the one that was given itself."""
    if isinstance(chosen, str):
        checks.choice("kernel", chosen, KERNELS)
        base = KERNELS[chosen]
        return ARD(base, n_features) if ard else Isotropic(base, n_features**0.5)
    checks.kernel("kernel", chosen)
    made_for = getattr(chosen, "columns", None)
    if made_for not in (None, n_features):
        raise ValueError(
            f"kernel is made for {made_for} features, but {n_features} columns of X vary (constant "
            f"ones are left out); make it for {n_features}"
        )
    return chosen


def criterion(chosen, n_fine: int | None):
    """The criterion of that name with batches of n_fine, or the one that was given itself."""
    if callable(chosen) and not isinstance(chosen, type):
        return chosen
    checks.choice("criterion", chosen, CRITERIA)
    return CRITERIA[chosen](n_fine=BATCH if n_fine is None else n_fine)
