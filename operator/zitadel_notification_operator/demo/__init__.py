"""A control plane on this machine and the walk-through of `znp demo`."""
