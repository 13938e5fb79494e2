"""A scripted model on loopback that real agent CLIs talk to instead of a provider.

Here live the model endpoints (one file per API dialect) and the scripts that play the model; not
the agents themselves (tests/agents). Tests open `with ModelServer(script=…) as server:`; a
terminal runs `python -m tests.modelserver --script echo`.
"""

from . import behaviours, scripts
from .conversation import Conversation, Failure, Reply, ToolCall, Usage, Use, nth_usage
from .fixer import Fix
from .prefix_cache import PrefixCache
from .server import ModelServer, Request

__all__ = [
    "Conversation",
    "Failure",
    "Fix",
    "ModelServer",
    "PrefixCache",
    "Reply",
    "Request",
    "ToolCall",
    "Usage",
    "Use",
    "behaviours",
    "nth_usage",
    "scripts",
]
