"""Our own coding agent for any model endpoint; speaks ACP, `python -m paseo_nb.programs.api`.

What a model says comes through pydantic-ai (the extra `paseo_nb[api]`), whose modules are imported
after the session is open: `models`, `conversation`, `calls`, `mcp_servers`. All else is our own.
The driver launches it; `endpoints` is also read by the driver, to tell early what is missing.
"""
