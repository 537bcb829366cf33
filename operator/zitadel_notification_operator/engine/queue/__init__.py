"""What is due, in which order, and how passes end.

This room owns the work queue and its clock, the keys in the queue, the outcomes by
which passes say when they are due again, and the callbacks through which the metrics
count all of that. It decides nothing about policies and instances: only the callbacks
name their records.
"""
