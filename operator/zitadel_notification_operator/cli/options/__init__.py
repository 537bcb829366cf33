"""How options are declared and read: durations, examples, waiting, variables."""
