"""A Kubernetes operator that keeps ZITADEL's notification policies as declared.

These are the modules of the package. Imports go from the top of the list down, which
import-linter checks (`make lint`):

- `cli`: the commands of `znp`, one file each, in rooms by what they are about.
- `demo`: a local control plane and the walk-through of `znp demo`.
- `app`: the wiring of settings, adapters, engine and handlers; start, stop,
  supervision.
- `handlers`: thin kopf handlers that pass watch events to the engine.
- `planning`: what the objects would do in ZITADEL, by a dry run of the engine.
- `auditing`: what people who audit want to know: changes, what is in force, rights.
- `manifests`: reading and writing manifests of our kinds, and what other tools hold.
- `engine`: when and in which order things happen, in rooms, one above the other:
  its own `__init__` has the drawing.
- `zitadel`: the only place that knows ZITADEL's paths, headers, JSON and error ids.
- `cluster`: the only place that talks to Kubernetes.
- `telemetry`: logs, metrics and health endpoints.
- `core`: the decisions as pure code: no clock, no I/O, only the standard library.

The emulator of ZITADEL is a distribution of its own, in the folder `emulator` of the
repository. Only `cli.serving.emulator` imports it, and only where it is installed.
"""
