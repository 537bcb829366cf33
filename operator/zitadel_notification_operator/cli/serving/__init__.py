"""The commands of those who run the operator: run, emulator, demo, release."""
