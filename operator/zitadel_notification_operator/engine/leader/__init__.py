"""One process: it stands by with a full cache, leads, runs passes and ends in order.

This room owns leader election, the way of objects from the watches and LISTs into the
cache, the loop that begins a pass for each key that is due, and the end of the process.
`composition` builds all parts of an engine and gives each what it may touch.
"""
