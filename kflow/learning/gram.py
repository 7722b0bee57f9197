"""Gram matrices and their solves as differentiable functions whose backward pass is one formula.

PyTorch's own derivative of a Cholesky factor costs several times the factor. Here dE = -a a^T for
the energy E = y^T K^-1 y with a = K^-1 y, and dP = -P dK P for the inverse P = K^-1.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from kflow.distances import squared_distances_in
from kflow.interpolation import cholesky
from kflow.kernels import Radial


class _RadialGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, base, same):
        x, z, centre = a, b, b.mean(0)
        b = z - centre
        a = b if same else x - centre
        values, beside = base.of_squared_(squared_distances_in(base.gamma, x, z, a, b))
        ctx.save_for_backward(a, b, beside)
        ctx.base, ctx.same = base, same
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        a, b, beside = ctx.saved_tensors
        v = ctx.base.times_slope_(g.clone(), beside)
        if ctx.same:
            v = v + v.mT
            return 2 * (v.sum(1, keepdim=True) * a - (a.mT @ v).mT), None, None, None
        grad_a = 2 * (v.sum(1, keepdim=True) * a - v @ b) if ctx.needs_input_grad[0] else None
        grad_b = 2 * (v.sum(0)[:, None] * b - v.mT @ a) if ctx.needs_input_grad[1] else None
        return grad_a, grad_b, None, None


def radial_gram(base: Radial, a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Tensor:
    """base(a_i, b_j), (n, m), with the gradient by the kernel's own slope."""
    return _RadialGram.apply(a, a.detach() if a is b else b, base, a is b)


class _EnergiesAndLogDeterminant(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gram, nugget, y, x):
        ctx.set_materialize_grads(False)
        factor = cholesky(gram, float(nugget), x)
        half = torch.linalg.solve_triangular(factor, y, upper=False)
        ctx.save_for_backward(factor, half)
        return half.square().sum(0), 2 * factor.diagonal().log().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, g, g_log):
        factor, half = ctx.saved_tensors
        gram = torch.zeros_like(factor)
        if g is not None:
            a = torch.linalg.solve_triangular(factor.mT, half, upper=True)
            gram -= (a * g) @ a.mT
        if g_log is not None:
            gram += g_log * torch.cholesky_inverse(factor)
        return gram, gram.diagonal().sum(), None, None


def energies_and_log_determinant(
    gram: Float[Tensor, "n n"], nugget: Tensor, y: Float[Tensor, "n c"], x
):
    """y_c^T K^-1 y_c of each output c, as sums of squares, and log det K; K = gram + nugget I.

    The labels y have no gradient; x are the points that an error names.
    """
    return _EnergiesAndLogDeterminant.apply(gram, nugget, y, x)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gram, nugget, y, x):
        factor = cholesky(gram, float(nugget), x)
        a = torch.cholesky_solve(y, factor)
        ctx.save_for_backward(factor, a)
        return a

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        factor, a = ctx.saved_tensors
        b = torch.cholesky_solve(g, factor)
        return -b @ a.mT, -(a * b).sum(), b, None


def solve(gram: Float[Tensor, "n n"], nugget: Tensor, y: Float[Tensor, "n c"], x) -> Tensor:
    """(gram + nugget I)^-1 y; x is for errors."""
    return _Solve.apply(gram, nugget, y, x)


class _Inverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gram, nugget, x):
        inverse = torch.cholesky_inverse(cholesky(gram, float(nugget), x))
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (inverse,) = ctx.saved_tensors
        gram = -inverse @ g @ inverse
        return gram, gram.diagonal().sum(), None


def inverse(gram: Float[Tensor, "n n"], nugget: Tensor, x) -> Tensor:
    """P = (gram + nugget I)^-1."""
    return _Inverse.apply(gram, nugget, x)


class _WeightsAndDiagonal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gram, nugget, y, x):
        factor = cholesky(gram, float(nugget), x)
        weights, inverse = torch.cholesky_solve(y, factor), torch.cholesky_inverse(factor)
        ctx.save_for_backward(inverse, weights)
        return weights, inverse.diagonal().clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, g, g_diagonal):
        inverse, weights = ctx.saved_tensors
        gram = (inverse * -g_diagonal) @ inverse - (inverse @ g) @ weights.mT
        return gram, gram.diagonal().sum(), None, None


def weights_and_diagonal(gram: Float[Tensor, "n n"], nugget: Tensor, y: Float[Tensor, "n c"], x):
    """P y and the diagonal of P, where P = (gram + nugget I)^-1."""
    return _WeightsAndDiagonal.apply(gram, nugget, y, x)
