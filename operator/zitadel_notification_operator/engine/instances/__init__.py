"""Passes over instances: each ends in a verdict on whether its policies may make calls.

This room owns the probe of an instance (its Secret, its CA bundle, who answers and who
asks), the rules by which failed probes become a verdict, what grants mean, the
instance's finalizer and its status. A verdict queues the policies that it affects.
"""
