"""How far from their centre points may be for the squared distances of a precision to hold.

|x - z|^2 is summed from |x|^2, |z|^2 and x.z, whose rounding grows with the square of the distance
from the centre: at R bandwidths it is about R^2 times the precision's.
"""

import torch

from kflow.distances import squared_distances
from kflow.engine.frame import Cloud
from kflow.engine.shards import Shards
from kflow.kernels import Radial

BANDWIDTHS = {"float64": 1e4, "float32": 32.0, "mixed": 16.0}
MOST = 2000  # points that are compared with each other
NEGLIGIBLE = 1e-6  # a kernel below it lets no point feel another
RANGES = 32  # of a column, from the origin to its farthest point


class TooFar(ValueError):
    """Points feel each other from where a precision does not hold; `row` is one of them."""

    def __init__(self, message: str, row: int | None = None):
        super().__init__(message)
        self.row = row


def check(cloud: Cloud, kernel: Radial, precision: str, shards: Shards):
    """Raise TooFar, with the cure, where training points too far away feel another.

    A point far from all others is no harm: nothing moves it, and it moves nothing.
    """
    most = BANDWIDTHS[precision]
    reach = torch.linalg.vector_norm(cloud.points, dim=1) / kernel.gamma
    felt = _felt(cloud.points, reach, most, kernel)
    if not shards.any(torch.tensor([felt is not None], device="cpu"))[0]:
        return
    where = "" if felt is None else f" (row {felt} of x is {float(reach[felt]):.3g} from it)"
    cure = (
        f'take precision="float64", which holds up to {BANDWIDTHS["float64"]:.0e}'
        if precision != "float64"
        else "fit groups of points that are so far apart one by one"
    )
    raise TooFar(
        f"points beyond {most:g} bandwidths from the centre of the others{where} are near enough "
        f"to another to feel it, and {precision} cannot tell their distance; {cure}, or a larger "
        f"gamma",
        felt,
    )


def check_origin(cloud: Cloud, precision: str, shards: Shards):
    """Raise ValueError where float32 rounds positions that the origin is too far from.

    Only a radial kernel is shown the points from a centre; another may depend on the origin.
    """
    if precision == "float64":
        return
    ends = cloud.points.new_full((2, cloud.points.shape[1]), -torch.inf)
    if len(cloud):
        low, high = cloud.points.aminmax(dim=0)
        ends = torch.stack([-low, high])
    ends = shards.largest(ends)
    ranges = ends.sum(0)
    far = (ranges > 0) & (ends.amax(0) > RANGES * ranges)
    if far.any():
        raise ValueError(
            f"column {int(far.nonzero()[0])} of x lies more than {RANGES} times its range from the "
            f'origin, where {precision} would round the motion; take precision="float64", or '
            "subtract a centre, or give a kernel of kflow.kernels, which does not see the origin"
        )


def _felt(points, reach, most: float, kernel: Radial) -> int | None:
    """The row of a point beyond `most` bandwidths that another is near."""
    far = (reach > most).nonzero()[:, 0]
    if not len(far):
        return None
    far = far[_some(len(far)).to(far.device)]
    others = torch.cat([far, _some(len(points)).to(far.device)]).unique()
    z = points.cpu().double()
    k = kernel.of_squared(squared_distances(z[far.cpu()], z[others.cpu()]))
    k[far.cpu()[:, None] == others.cpu()] = 0
    feels = (k > NEGLIGIBLE).any(dim=1)
    return int(far[feels.nonzero()[0, 0]]) if feels.any() else None


def _some(n: int) -> torch.Tensor:
    """Numbers of rows: of all, or of a sample; every so many would miss all neighbours in order."""
    if n <= MOST:
        return torch.arange(n, device="cpu")
    rng = torch.Generator().manual_seed(0)
    return torch.randint(n, (MOST,), generator=rng, device="cpu").unique()
