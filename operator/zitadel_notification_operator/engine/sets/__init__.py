"""Passes over sets: which organizations there are, who is selected, their policies.

SetPass         one pass, from the selection to the status
SetDeletion     one pass over a set that is being deleted
Members         the policies of a set: makes them, keeps them, removes them
Directories     which organizations each ZITADEL has, read as seldom as possible
SetReport       the status of a set, at its own pace
"""
