"""An emulator of ZITADEL for trials and tests.

- `command` is the command line, with `signals` for its end; `attended` is the same as
  a child that ends with its parent.
- `testing` is what the tests of clients use, and `pytest_plugin` has its fixtures.
- `server` handles HTTP, and starts and stops the emulator.
- `checks` runs ZITADEL's checks in ZITADEL's order; `hosts` and `messages` hold two
  of these checks.
- `calls` lists the supported calls with their permissions and fields; `effects`,
  `searches` and `event_search` implement them.
- `zitadel` is one instance and `behavior` holds its switches; `policies` and
  `organizations` hold the rules that depend on the stored state.
- `access`, `members` and `permissions` hold users, tokens, memberships, and what each
  role may do.
- `tokens`, `keys` and `signing` are the token endpoint and the credentials it checks.
- `events` is the event log, and `clock` the clock that tests may move; `projections`,
  `directory` and `history` are computed from the log.
- `read_side` is what a GET of a policy shows; `losses` chooses the events it misses.
- `deadlines` reads the client's time limit for a call from the request header.
- `answers` writes JSON as ZITADEL's gateway does; `probes` serves health and discovery.
- `faults` is misbehavior on demand. `control` (with `control_users`,
  `control_policies` and `control_input`) is the documented path that trials and tests
  use to set up faults and everything else.
"""
