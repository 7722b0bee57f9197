"""What is promised, counted: hostile inputs and files, faults, long runs. `python -m tests.stress`."""
