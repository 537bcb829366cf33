"""The bench: what the operator costs and how long it takes, on this machine.

`make bench` runs it. Emulator, operator and driver are processes of their own beside a
real kube-apiserver. Counts come from the API server's audit log and from the emulator's
request log, times from a watch and from ZITADEL's event log: nothing is measured by
what the operator says about itself.

- `world`: the programs, started and stopped.
- `load`: creates, edits and deletes many objects; a watch that notes when.
- `ledger`: calls and writes since a mark, by audit log and emulator.
- `machine`: CPU time and memory of a process, and what this machine is.
- `phases`: what is measured, one function a figure.
- `steady`: another run: idle, restart, drift, failover (`make bench-steady`).
- `drifting`: somebody else changes policies in ZITADEL.
- `failover`: replicas that are ended while others stand by.
- `sampling`: where the CPU time goes, by sampling.
- `report`: the table, the JSON, the plots.
- `compare`: two commits, one table of ratios.
"""
