"""Rows of the data, in errors that name them among a part of it."""

import contextlib
from collections.abc import Sequence

from kflow.checks import NotPositiveDefinite
from kflow.engine.reach import TooFar


@contextlib.contextmanager
def of_all(rows: Sequence[int]):
    """Around what takes these rows of the data alone: errors name their places in all of it."""
    try:
        yield
    except NotPositiveDefinite as error:
        if error.pair is None:
            raise
        i, j = (rows[place] for place in error.pair)
        message = str(error)
        for said in ("points {} and {} are", "rows {} and {} of x"):
            message = message.replace(said.format(*error.pair), said.format(i, j))
        raise NotPositiveDefinite(message, (i, j), error.points) from None
    except TooFar as error:
        if error.row is None:
            raise
        row = rows[error.row]
        message = str(error).replace(f"row {error.row} of x", f"row {row} of x")
        raise TooFar(message, row) from None
