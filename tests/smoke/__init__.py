"""A short walk with the operator through a ZITADEL that is not the emulator.

`make smoke` starts it; the nightly workflow runs it against ZITADEL's published image.
"""
