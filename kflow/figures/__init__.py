"""What a notebook publishes: figures with their data, their numbers and where they were made.

`chapter = begin("flow")` opens a chapter, and `chapter.publish` makes its figures.
"""

__all__ = ["Chapter", "begin", "color", "diverging"]


def __getattr__(name):
    """The names above when they are asked for: who reads a record needs no matplotlib."""
    if name in __all__:
        from kflow.figures import chapter, drawing

        return getattr(chapter if name in ("Chapter", "begin") else drawing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
