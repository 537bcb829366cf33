"""How drift is found: by the events of ZITADEL's log, or by polling.

This room owns the searches of event logs and how far each was read, the events that
wait for a pass, whether a log can be trusted, and the schedule of drift checks. It
queues policies; what to do about drift is decided by their passes.
"""
