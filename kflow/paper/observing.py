"""What is read off a flow of images on its way: errors, distances, some images, and the time."""

import time

import torch
from torch import Tensor

from kflow.classify import classes, error_rate
from kflow.distances import mean_squared_distance
from kflow.engine import State
from kflow.interpolation import interpolate
from kflow.kernels import Gaussian
from kflow.paper.experiments import N_INTERP, Experiment
from kflow.paper.seeds import generator

CLOCKS = ("seconds", "processor_seconds")


class Observer:
    """Reads errors, distances and images off a state, and how long moving and reading took."""

    def __init__(self, experiment: Experiment, kernel: Gaussian, y, x_test, y_test):
        self.experiment, self.kernel, self.y = experiment, kernel, y
        self.x_test, self.y_test = x_test, y_test
        self.shown = first_of_each_class(y_test)
        self.since = clocks()

    def __call__(self, state: State) -> dict:
        """Errors by N_I, mean squared distances, and at some layers images."""
        if state.points.is_cuda:
            torch.cuda.synchronize(state.points.device)
        assert state.carried is not None  # the test images
        started = clocks()
        rng = generator(self.experiment.seed, state.layer)
        found: dict[str, float | Tensor] = {**elapsed("moving", self.since, started)}
        for n in N_INTERP:
            found[f"error_{n}"] = error_rate(
                self.kernel, state.points, self.y, state.carried, self.y_test,
                n, rng, self.experiment.nugget, per_class=n == 10,
            )  # fmt: skip
        found |= class_distances(state.carried, self.y_test)
        if state.layer in self.experiment.pictures():
            found["images"] = state.carried[self.shown].half()
        self.since = clocks()
        return found | elapsed("observing", started, self.since)

    def at_the_end(self, points: Tensor, carried: Tensor) -> dict[str, Tensor]:
        """Images after the last layer, and those that are misclassified with 600 labelled ones."""
        rng = torch.Generator().manual_seed(self.experiment.seed)
        drawn = torch.randperm(len(self.y), generator=rng)[:600].to(points.device)
        v = interpolate(self.kernel, points[drawn], self.y[drawn], self.experiment.nugget)
        predicted = classes(v(carried))
        wrong = (predicted != classes(self.y_test)).nonzero()[:, 0]
        found = {
            "images": carried[self.shown].half(),
            "wrong": wrong,
            "predicted": predicted[wrong],
            "truth": classes(self.y_test)[wrong],
            "wrong_images": carried[wrong[:24]].half(),
            "wrong_raw": (255 * self.x_test[wrong[:24]]).round().byte(),
        }
        return {name: value.cpu() for name, value in found.items()}


def clocks() -> tuple[float, float]:
    """The wall clock, and the processor time of all threads of this process, in seconds."""
    return time.monotonic(), time.process_time()


def elapsed(doing: str, start: tuple[float, float], stop: tuple[float, float]) -> dict[str, float]:
    """Seconds between two readings; on a shared machine the processor time is the fairer one."""
    return {f"{clock}_{doing}": b - a for clock, a, b in zip(CLOCKS, start, stop, strict=True)}


def first_of_each_class(y: Tensor) -> Tensor:
    """Positions of the first point of each class, then of the second of the first two: a dozen."""
    labels = classes(y)
    first = [(labels == c).nonzero()[0, 0] for c in range(y.shape[1])]
    second = [(labels == c).nonzero()[1, 0] for c in range(2)]
    return torch.stack(first + second)


def class_distances(x: Tensor, y: Tensor) -> dict[str, float]:
    """Mean squared distance within a class (averaged over classes) and between class means."""
    labels, x = classes(y), x.double()
    groups = [x[labels == c] for c in range(y.shape[1])]
    means = torch.stack([group.mean(0) for group in groups])
    within = sum(mean_squared_distance(group) for group in groups) / len(groups)
    return {"within": within, "between": mean_squared_distance(means)}
