"""Run the notebooks again and compare the results: executions, comparison, citation, cost.

`python -m kflow` is the command line; the book is built from `execution`.
"""

from kflow.reproduce.command_line import main as main
