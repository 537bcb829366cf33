"""A ZITADEL for trials and tests; imports nothing of the operator.

- `server`: HTTP in and out; starts and stops it.
- `checks`: the order of ZITADEL's checks; `hosts`, `messages` do two of them.
- `calls`: the calls that are answered, each with its permission and fields;
  `effects`, `searches`: what they do then.
- `zitadel`: one instance; `policies` and `organizations` hold the rules by state.
- `access`, `members`, `permissions`: users, tokens, memberships, what a role may do.
- `tokens`, `keys`, `signing`: the token endpoint, and what it checks.
- `events`, `projections`, `directory`: the log, and what follows from it.
- `answers`, `probes`: JSON as ZITADEL's gateway writes it; health and discovery.
- `faults`, `control` (with `control_users`, `control_input`): misbehaviour on demand,
  and everything else that trials need, over a documented path.
"""
