"""Passes over policies: admit, own, observe, decide, act, verify, report.

This room owns the way of a policy through a pass, from top to bottom in `policy_pass`,
and that of its deletion in `deletion_pass`. It is the only room that writes settings to
ZITADEL, and it repairs ZITADEL's read side where that has lost an event. It knows no
pass over instances, only what they have found out.
"""
