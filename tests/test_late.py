"""The remedies against late overfitting: all start from the same flow, and do what they say."""

import json

import pytest
import torch

from kflow.distances import mean_squared_distance
from kflow.flow import KernelFlow
from kflow.kernels import Gaussian
from kflow.paper import late, study
from kflow.steps import MaxDisplacement

SCALE = study.Scale(points=700, held=60, layers=(2, 3, 4, 6), reads=((20, 1), (10, 3)))
SHARED = 3


def pool(dataset):
    rng = torch.Generator().manual_seed(5)
    y = torch.eye(10)[torch.arange(800) % 10]
    return 3 * y @ torch.randn(10, 6, generator=rng) + torch.randn(800, 6, generator=rng), y


DIGITS = [named for named in late.REMEDIES if named[1].dataset == "mnist"]


def make(root, remedies=DIGITS, seeds=(0,)):
    return late.run(root, remedies, SCALE, SHARED, seeds, pool)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return make(tmp_path_factory.mktemp("late"))


def by_name(record):
    return {run["name"]: run["by_layer"] for run in record["runs"]}


def test_all_remedies_share_the_layers_before_and_differ_after(record):
    runs = by_name(record)
    none = runs.pop("none")
    assert list(none) == ["2", "3", "4", "6"]
    for read in runs.values():
        assert [read[k] for k in "23"] == [none[k] for k in "23"]
        assert read["6"]["rho"] != none["6"]["rho"]


def test_without_a_remedy_it_is_the_one_flow_of_the_base(record):
    x, y, x_held, _ = study.draw(*pool(""), SCALE, 0)
    s = mean_squared_distance(x) ** 0.5
    flow = KernelFlow(Gaussian(s), 600, MaxDisplacement(0.1 * s), 1e-2)
    path = flow.run(x, y, 6, torch.Generator().manual_seed(0), carry=x_held)
    spread = by_name(record)["none"]["6"]["spread"]
    assert spread == pytest.approx(mean_squared_distance(path.points) / s**2, rel=1e-6)


def test_each_remedy_changes_what_its_name_says(record):
    runs = by_name(record)
    gammas = [read["gamma_factor"] for read in runs["a bandwidth that follows"].values()]
    spread = [read["spread"] for read in runs["a bandwidth that follows"].values()]
    assert gammas[:2] == [1, 1] and gammas[2:] == pytest.approx([v**0.5 for v in spread[1:3]])
    assert {read["gamma_factor"] for read in runs["none"].values()} == {1.0}

    def delta(name, layer):
        return float(runs[name][layer]["step"].removeprefix("MaxDisplacement(delta=")[:-1])

    assert delta("shorter steps", "6") == pytest.approx(0.3 * delta("none", "6"))
    assert delta("steps that fall", "4") == delta("none", "4")
    assert delta("steps that fall", "6") == pytest.approx(delta("none", "6") * 3 / 4)
    assert runs["the same eps"]["6"]["step"].startswith("Constant(eps=")


def test_clothes_begin_with_their_own_bandwidth_and_nugget(tmp_path):
    remedy = late.Remedy(nugget=0.1, dataset="fashion_mnist", gamma_factor=0.5)
    run = make(tmp_path, [("a nugget of a tenth", remedy)])["runs"][0]
    factors = [read["gamma_factor"] for read in run["by_layer"].values()]
    assert factors[:2] == [late.CLOTHES.gamma_factor] * 2 and factors[2:] == [0.5] * 2


def test_what_was_interrupted_ends_with_the_same_numbers(tmp_path, record):
    make(tmp_path, [DIGITS[0], DIGITS[3]])
    saved = json.loads((tmp_path / "book/records/paper/late.json").read_text())["runs"]
    again = make(tmp_path)
    assert again["runs"][0] == saved[0]  # with its seconds: it was not measured again
    assert by_name(again) == by_name(record)
