"""Patterns that people use daily: handoff, loop, advisor, committee, epic. Each is a short function
over runs, with its prompts as files; what it has done so far is in its record, so that calling it
again goes on where a killed kernel left it."""
