"""The bench: the cost and the speed of the operator on this machine.

`make bench` runs it. Emulator, operator and driver are separate processes that use a
real kube-apiserver. Counts come from the API server's audit log and from the emulator's
request log, times from a watch and from ZITADEL's event log. No figure relies on what
the operator reports about itself.

- `processes`: starts and stops the programs.
- `load`: creates, edits and deletes many objects, with a watch that records times.
- `floor`: a bare client that makes the same calls; it takes the operator's place.
- `ledger`: counts calls and writes in the audit log and the emulator's request log.
- `machine`: CPU time and memory of a process, and a description of the machine.
- `phases`: the measurements, one function each.
- `steady`: another run: idle, restart, drift, failover (`make bench-steady`).
- `sets`: a set beside as many plain policies (`make bench-sets`); the last part of
  `make bench` as well.
- `at_rest`: the counts of that run which must be 0 (`make bench-idle`).
- `large`: a restart with a hundred thousand policies (`make bench-large`), which
  `kept_world` keeps, `mould` makes up and `etcd` stores; `probing` asks for /healthz
  meanwhile.
- `soaking`: half an hour of edits, faults and restarts (`make soak`). `happenings`
  plans them, `acting` carries them out, `lives` starts the operator and samples its
  memory, `memory_slope` judges that, and `settling` the policies in the end.
- `drifting`: changes of policies in ZITADEL by somebody else.
- `failover`: ends the leading replica while another one stands by.
- `sampling`: finds where the CPU time goes.
- `report`: the table, the JSON, the plots.
- `compare`: measures two commits and prints one table of ratios.
"""
