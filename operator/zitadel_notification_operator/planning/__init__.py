"""What the objects of a cluster would do in ZITADEL, found by the engine itself.

A plan is a dry run: the engine that the operator runs works here between a copy of the
objects in memory and a ZITADEL whose reads are real and whose writes are only recorded.
So a plan and the operator cannot decide differently.

- `memory_cluster`: the copy of the objects; takes all that the engine writes to them.
- `dry_zitadel`: reads for real, and shows recorded writes to the reads after them.
- `applying`: what the objects would be once manifests were applied.
- `dry_run`: runs the engine until there is nothing left to do.
- `plan`: what came out, object by object; pure.
- `wording`: the plan as text and as JSON.
"""
