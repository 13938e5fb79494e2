"""The recorder: a loopback proxy between an agent and its model endpoint, where a run asks for it.

Here live the proxy (a program of its own, started and ended by the run's supervisor) and what it
makes of a request and its answer; not how an agent is pointed at it (`pointing` says by which
setting, `supervisor/recording.py` fills it in). Bytes pass as they are; keys are never kept.
"""
