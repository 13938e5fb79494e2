"""Contests: one prompt given to several agents, and what their results say about them.

Here live matches, judges, tournaments and their statistics. How a run is made and kept is not
here: contestants are steps of a workflow (`engine`). Called by `arena_verbs` and the magics.
"""
