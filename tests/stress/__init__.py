"""What is promised, tried and counted: hostile inputs and files, faults, long runs, mutants."""
