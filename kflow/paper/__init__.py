"""The talk at its own scale: runs over 60000 points, a study of the settings, baselines, reports.

`python -m kflow.paper` makes the records in book/records/paper; the chapters read them.
"""

from kflow.paper.record import RECORDS, OtherSettings, Run, cost, read_record, read_run

__all__ = ["RECORDS", "OtherSettings", "Run", "cost", "read_record", "read_run"]
