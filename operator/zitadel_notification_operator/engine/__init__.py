"""The engine decides when and in which order things happen; asyncio and core only.

It has rooms. Imports go from the top of the drawing down, which import-linter checks,
and a class may touch only what its constructor names (at most eight things):

    leader       election, watch events, the loop of passes, composition
      |
    sets         passes over sets: which organizations there are, and their policies
      |
    policies     passes over policies: admit, own, observe, decide, act, verify, report
      |
    instances    passes over instances: probe, verdict, report
      |
    drift        events of ZITADEL's log, polling, the schedule of checks
      |
    calls        connections, turns of writes, limits of repairs, the guard by the lease
      |
    claims       the cache of our objects, ownership, writes to our objects
      |
    reporting    texts of Events, each posted once; deadlines
      |
    queue        the work queue, its clock and keys, outcomes of passes, metrics
      |
    ports        what the engine needs of the outside world
"""
