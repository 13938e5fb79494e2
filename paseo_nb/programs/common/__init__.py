"""What our ACP programs share: the byte path, JSON-RPC, running commands, session files.

No program lives here, and nothing here knows one; `demo` and `api` are built on it.
"""
