"""A Kubernetes operator that keeps ZITADEL's notification policies as declared.

The map of the package; imports go one way, from the top of this list down, and
import-linter checks it (`make lint`):

- `cli`: the commands of `znp`, one file each; options and environment variables.
- `demo`: a control plane on this machine and the walk-through of `znp demo`.
- `app`: wiring: settings, adapters, engine, handlers; start, stop, supervision.
- `handlers`: thin kopf handlers that hand watch events to the engine.
- `engine`: when and in which order things happen: inventory, queue, passes.
- `zitadel`: the only place that knows ZITADEL's paths, headers, JSON and error ids.
- `cluster`: the only place that talks to Kubernetes through its client package.
- `telemetry`: logs, metrics, health endpoints.
- `emulator`: a ZITADEL for trials and tests; imports nothing of the operator.
- `core`: the decisions, pure: no clock, no I/O, standard library only.
"""
