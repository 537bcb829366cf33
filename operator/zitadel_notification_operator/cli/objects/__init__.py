"""The commands about objects in the cluster: status, reconcile, suspend, resume."""
