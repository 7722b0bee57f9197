"""Kernels as JSON and tensors: what is not kflow's is neither written nor read."""

from dataclasses import dataclass

import pytest

import kflow
from kflow.kernels import Radial
from kflow.learning.storage import describe, rebuild


@dataclass(frozen=True)
class Mine(Radial):
    """A radial kernel of a user."""

    def of_squared(self, r2):
        return (-r2).exp()

    slope = of_squared


def test_a_kernel_of_a_user_is_not_written():
    with pytest.raises(ValueError, match="class Mine cannot be saved"):
        describe(Mine(1.0))


@pytest.mark.parametrize("name", ["Tensor", "dataclass", "math", "nothing"])
def test_a_name_that_is_no_kernel_of_kflow_is_not_read(name):
    with pytest.raises(ValueError, match="names an unknown kernel"):
        rebuild({"class": name}, {})


def test_a_fixed_kernel_comes_back_as_it_was():
    kernel = kflow.RationalQuadratic(2.0, 0.5)
    assert rebuild(*describe(kernel)) == kernel
