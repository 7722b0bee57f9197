"""What rounding takes from the motion of a layer, and the errors of a flow that cannot go on.

The motion K c is small beside c where c alternates, as it does with small nuggets and wide kernels:
then the rounding of K and of the sums, in proportion to |c|, is a large part of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# Rounding over |c|, as measured on points of the plane, in ten dimensions and on images, raw and
# late: within a factor of five where it is near MOST, of ten beyond.
UNITS = {"float64": 2.0**-51, "float32": 2.0**-22, "mixed": 2.0**-16}
MOST = 0.05  # share of the motion that may be lost


class Broken(FloatingPointError):
    """The flow cannot go on from `layer`."""

    cure = "take smaller steps or a larger nugget"

    def __init__(self, layer: int, what: str):
        super().__init__(f"at layer {layer} {what}")
        self.layer = layer


class Rounded(Broken):
    """The precision of the flow would round a large share of the motion of `layer` away."""

    def __init__(self, layer: int, share: float, precision: str):
        said = "more than all" if share > 1 else f"about {share:.0%}"
        super().__init__(layer, f"{precision} would round {said} of the motion away")
        wider = "" if precision == "float64" else 'precision="float64", '
        self.cure = f"take {wider}a larger nugget or a smaller gamma"


def share(c: Float[Tensor, "m d"], moved: Float[Tensor, "m d"], precision: str) -> Tensor:
    """About what share of the motion `moved` of a batch the rounding of K c is; 0 where c is 0."""
    lost = UNITS[precision] * torch.linalg.vector_norm(c)
    most = torch.linalg.vector_norm(moved, dim=1).max()
    return torch.where(lost > 0, lost / most, lost)
