"""The seam: where runs live. Nothing above it knows whether that is this machine or another.

`LocalHost` is files, locks and sockets. Front ends, workflows and tools reach a run only through
a host; a host never renders, queries or decides anything.
"""
