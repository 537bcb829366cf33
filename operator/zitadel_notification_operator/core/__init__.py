"""The operator's decisions as pure code: no clock, I/O or logging; stdlib only."""
