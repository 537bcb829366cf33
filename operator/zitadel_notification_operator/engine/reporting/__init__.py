"""What the engine says to people, apart from statuses.

This room owns the texts of Events, the rule by which each Event is posted once, and the
moments from which the progress deadlines of objects count. It decides nothing: passes
say what has happened.
"""
