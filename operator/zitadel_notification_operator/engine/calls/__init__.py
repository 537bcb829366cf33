"""Whether a ZITADEL may be called now, with which client, and whose turn it is.

This room owns what is known of each instance (its last good connection, its failure,
the calls it lacks), the turns of writes, how far GETs may lag behind the event log, the
limits of repairs of ZITADEL's read side, and the guard that stops all calls when
another replica leads. Higher rooms write their findings here; this room itself only
looks up organizations.
"""
