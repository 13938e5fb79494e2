"""Agents that we ship: programs of their own which speak ACP over stdin and stdout.

Each lives in a package started by `python -m paseo_nb.programs.NAME`: `demo` is scripted and needs
no model, `api` is our own agent for any model endpoint, `common` is what they share. They import
nothing else of paseo_nb, so that they start fast and stand for any agent.
The drivers launch them; nothing calls into them but tests and `copy_sample`.
"""
