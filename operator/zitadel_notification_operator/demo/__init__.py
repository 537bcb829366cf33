"""The local control plane and the walk-through of `znp demo`."""
