"""The workflow engine: steps with a memory, their journal, and what a workflow's body calls.

A workflow is an `async def`; each `agent()` in it is a step, found again by what it asks for and
never by its position. Here live keys, journals, resuming and the body's words; where a step's run
takes place is behind `place.Place`. Front ends call `workflows`, a body calls `words`.
"""
