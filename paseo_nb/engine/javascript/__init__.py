"""Workflows in JavaScript, as Claude Code's scripts are written.

A script runs in V8, in a process of its own that can do nothing but compute (`child.py`,
`prelude.js`); what it wishes for comes out as text, and what came of it goes in as text. Here live
that process, the reading of `meta`, and the body (`bodies`) that makes its wishes steps of the same
engine as Python's workflows. `discovery` calls `bodies.script`.
"""
