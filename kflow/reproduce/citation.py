"""A figure's citation, as BibTeX and as CSL-JSON; nothing in it is invented.

Author, version and address are those of the package's metadata, the date is the commit's; what the
owner has not set is absent.
"""

import re
from importlib.metadata import metadata


def facts(record: dict, origin: dict) -> dict:
    """What a citation says about a figure, from its record and its provenance."""
    about = metadata("kflow")
    urls = dict(line.split(", ", 1) for line in about.get_all("Project-URL") or [])
    home = urls.get("Homepage", "").rstrip("/")
    commit = origin["commit"]
    state = ", changed since" if commit["dirty"] else ""
    derived = record["derived_from"]
    variant = ", ".join(f"{name}={record['parameters'][name]}" for name in record["changed"])
    title = record["title"] + (f" (variant of {derived}: {variant})" if derived else "")
    return {
        "title": title,
        "author": about["Author"] or "",
        "date": commit.get("date") or "",
        "note": f"Figure {record['slug']} of Kernel Flows, version {about['Version']}"
        + (f", commit {commit['id'][:12]}{state}" if commit["id"] else ""),
        "url": f"{home}/figures/{record['slug']}/" if home else "",
    }


def bibtex(record: dict, origin: dict) -> str:
    """One @misc entry; its key is the slug."""
    told = facts(record, origin)
    fields = {
        "title": "{" + _tex(told["title"]) + "}",
        "author": "{" + _tex(told["author"]) + "}" if told["author"] else "",
        "year": told["date"][:4],
        "note": _tex(told["note"]),
        "url": told["url"],
    }
    lines = [f"  {key} = {{{value}}}" for key, value in fields.items() if value]
    return f"@misc{{kflow-{record['slug']},\n" + ",\n".join(lines) + "\n}"


def csl(record: dict, origin: dict) -> dict:
    """The same as a CSL-JSON item."""
    told = facts(record, origin)
    item = {
        "id": f"kflow-{record['slug']}",
        "type": "figure",
        "title": told["title"],
        "container-title": "Kernel Flows",
        "note": told["note"],
    }
    if told["author"]:
        item["author"] = [{"literal": told["author"]}]
    if told["date"]:
        item["issued"] = {"date-parts": [[int(part) for part in told["date"].split("-")]]}
    if told["url"]:
        item["URL"] = told["url"]
    return item


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)
