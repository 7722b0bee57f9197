import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices on one thread: two make some of these tests thirty times slower."""
    torch.set_num_threads(1)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
