"""Losses by which the points of a batch could be moved: rho, and what statisticians use.

Each is a function of A = K + nugget I on the batch, of the labels y (n, c), and of the positions of
the kept half, and has no units. For labels drawn from a Gaussian process the squared errors and the
likelihood are least, on average, for that process; rho is not.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kflow.interpolation import Kernel

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def energy(gram: Float[Tensor, "n n"], y: Float[Tensor, "n c"]) -> Tensor:
    r"""$\mathrm{tr}\, y^T A^{-1} y$."""
    return torch.linalg.solve_triangular(
        torch.linalg.cholesky(gram), y, upper=False
    ).square().sum()  # fmt: skip


def rho(gram: Float[Tensor, "n n"], y: Float[Tensor, "n c"], coarse: Int[Tensor, " k"]) -> Tensor:
    """The share of the energy that is lost with the hidden half."""
    return 1 - energy(gram[coarse][:, coarse], y[coarse]) / energy(gram, y)


def hidden_error(gram, y, coarse) -> Tensor:
    """Squared error of the predicted hidden labels, relative to the square of these labels."""
    hidden = torch.ones(len(y), dtype=torch.bool, device=y.device).index_fill(0, coarse, False)
    factor = torch.linalg.cholesky(gram[coarse][:, coarse])
    predicted = gram[hidden][:, coarse] @ torch.cholesky_solve(y[coarse], factor)
    return (predicted - y[hidden]).square().sum() / y[hidden].square().sum()


def leave_one_out(gram, y, coarse=None) -> Tensor:
    r"""The same where each label is predicted from all others: $[A^{-1}y]_i / [A^{-1}]_{ii}$."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    residuals = inverse @ y / inverse.diagonal()[:, None]
    return residuals.square().sum() / y.square().sum()


def k_fold(gram, y, coarse=None, folds: int = 10) -> Tensor:
    """The same where each of `folds` parts, every so many points, is predicted from the others."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    solved, squares = inverse @ y, 0.0
    for part in (torch.arange(len(y), device=y.device)[k::folds] for k in range(folds)):
        squares += torch.linalg.solve(inverse[part][:, part], solved[part]).square().sum()
    return squares / y.square().sum()


def likelihood(gram, y, coarse=None) -> Tensor:
    r"""$\log (\mathrm{tr}\, y^T A^{-1} y / nc) + \log \det A / n$: minus twice the log marginal
    likelihood per label, at the best amplitude of the kernel, but for a constant."""
    factor = torch.linalg.cholesky(gram)
    solved = torch.linalg.solve_triangular(factor, y, upper=False)
    return solved.square().mean().log() + 2 * factor.diagonal().log().mean()


def misalignment(gram, y, coarse=None) -> Tensor:
    """One minus the cosine of the centred matrices A and y y^T (centred kernel alignment)."""
    centred = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
    labels = y - y.mean(0)
    cosine = (labels * (centred @ labels)).sum() / (labels.T @ labels).norm() / centred.norm()
    return 1 - cosine


DESCENDED = {  # the losses of the ablation
    "rho": rho,
    "hidden_error": hidden_error,
    "leave_one_out": leave_one_out,
    "likelihood": likelihood,
}


def loss_and_gradient(
    loss: Loss,
    kernel: Kernel,
    z: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    coarse: Int[Tensor, " k"],
    nugget: float = 0.0,
) -> tuple[Tensor, Float[Tensor, "n d"]]:
    """A loss of one batch and its gradient with respect to the points z, by autograd."""
    z = z.detach().requires_grad_()
    gram = kernel(z, z) + nugget * torch.eye(len(z), dtype=z.dtype, device=z.device)
    value = loss(gram, y, coarse)
    return value.detach(), torch.autograd.grad(value, z)[0]
