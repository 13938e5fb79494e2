"""Widgets: what a notebook's reader sees of a run, one folder per widget, Python beside its JS.

Nothing here starts, answers or stores anything, and no provider is known: widgets get values and
a `Run`.
The magics and a handle's display call this; `render` needs no kernel at all.
"""
