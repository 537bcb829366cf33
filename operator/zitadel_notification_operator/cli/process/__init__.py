"""The process of a command: its name, signals, event loop, streams and progress."""
