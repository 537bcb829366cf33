"""A ZITADEL for trials and tests; imports nothing of the operator.

- `server`: HTTP in and out; starts and stops it.
- `checks`: the order of ZITADEL's checks; `hosts`, `messages` do two of them.
- `calls`: the calls that are answered, each with its permission and fields;
  `effects`: what they do then.
- `zitadel`: one instance; `policies` and `organizations` hold the rules by state.
- `access`, `permissions`: users, tokens, memberships, and what a role may do.
- `events`, `projections`: the log, and what follows from it.
- `answers`, `probes`: JSON as ZITADEL's gateway writes it; health and discovery.
- `faults`, `control`: misbehaviour on demand, over a documented path.
"""
