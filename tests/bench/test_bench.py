"""The command that measures: all of its parts run, and its record is read back."""

import statistics

import pytest

from kflow import paper
from kflow.paper.performance import part
from tests.bench.__main__ import PARTS, main


@pytest.mark.slow
def test_the_command_measures_every_part_and_its_record_is_read_back(tmp_path):
    folder = tmp_path / "book" / "records" / "paper"
    main(["--quick", "--output", str(folder / "performance")])
    record, times = paper.read_record("performance", tmp_path)
    assert record["quick"]
    names = {row["part"].removeprefix("peers: ") for row in record["rows"]}
    assert names >= {p.__name__ for p in PARTS} - {"motion", "bars", "agreement"}
    for i, row in enumerate(record["rows"]):
        if "seconds" in row:
            assert row["seconds"] == statistics.median(times[f"row_{i}"])
    assert set(part(record, "parts")["case"]) == {"game", "layer", "transport", "products"}


def test_a_device_that_is_not_there_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--device", "cuda"])
    assert "sees no CUDA device" in capsys.readouterr().err
