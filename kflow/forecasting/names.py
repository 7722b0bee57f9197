"""Names of a series' variables, by which later values are told from those of the fit."""


def names_of(values) -> list | None:
    """The names of a data frame's columns, the variables; None of what has no names."""
    names = getattr(values, "columns", None)
    return None if names is None else list(names)


def same_names(name: str, values, expected: list | None):
    """Refuse a data frame whose columns are not those expected, in their order."""
    found = names_of(values)
    if found is None or expected is None or found == expected:
        return
    cure = "the map was fitted with others"
    if sorted(map(repr, found)) == sorted(map(repr, expected)):
        cure = f"their order counts: take {name}[{expected}]"
    raise ValueError(f"{name} must have the columns {expected}, as in fit, not {found}; {cure}")
