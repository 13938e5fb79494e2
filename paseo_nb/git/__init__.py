"""Git: worktrees, snapshots, diffs, undo and apply (GitPython), on the front ends' side.

The supervisor takes its snapshots by plain `git` and imports nothing from here.
Called by the handle, the verbs and the arena; `values` is what the renderers show.
"""
