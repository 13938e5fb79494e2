"""One suite that every agent goes through, by the public API alone; a model of our own behind it.

`cases.py` says what a user may expect, `recipes.py` how each provider is pointed at the model
server, `differences.py` where a provider does not do so and why, in the user's words.
`python -m tests.conformance.page` makes docs/providers.md from them.
"""
