"""A ZITADEL for trials and tests; imports nothing of the operator.

- `server`: HTTP in and out, and the order of ZITADEL's checks.
- `calls`: the calls, each with its permission.
- `zitadel`: what a call does; all state is the event log.
- `events`, `projections`: the log, and what follows from it.
- `access`: users, tokens, roles, permissions.
- `answers`: JSON as ZITADEL's gateway writes it, and its errors.
- `faults`, `control`: misbehaviour on demand, over a documented path.
"""
