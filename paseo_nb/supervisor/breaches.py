"""What an agent did though the policy forbids it: it never asked, as its own settings let it pass.

Agents over ACP, and Codex, ask for what their settings do not allow already. Where that cannot be
known before they act, it is seen afterwards: a call that ended well, that the policy would have
denied, and that was never asked for. It is said on the run. So is an unasked change of
the notebook that the run was launched from.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_str, decode
from ..drivers.codex_items import tool_call
from .asking import Asking
from .policy import CHANGING, LOOKING, OWN_NOTEBOOK

WATCHED = frozenset({"tool_call", "tool_call_update"})
_FIELDS = ("kind", "title", "rawInput", "locations", "content")
_MOST = 1000  # calls that never end


class Breaches:
    """Follows the calls of one launch of an agent."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._calls: dict[str, dict[str, Any]] = {}
        self._told: set[str] = set()

    @property
    def due(self) -> bool:
        """Whether the policy forbids anything at all, or a notebook is to be watched."""
        return self._asking.forbids or self._asking.spec.notebook is not None

    def take(self, line: bytes) -> None:
        """One line that tells of a tool call."""
        params = as_dict(as_dict(decode(msgspec.Raw(line))).get("params"))
        update = as_dict(params.get("update")) or tool_call(as_dict(params.get("item")))
        ident = as_str(update.get("toolCallId"))
        if ident is None:
            return
        call = self._calls.get(ident)
        if call is None:
            if len(self._calls) >= _MOST:
                self._calls.clear()
            call = self._calls[ident] = {"forbidden": None}
        call.update({name: update[name] for name in _FIELDS if update.get(name)})
        kind = as_str(call.get("kind")) or "other"
        forbidden = self._asking.forbidden(call)
        if call["forbidden"] is None:  # a mode may be changed while a call goes on
            call["forbidden"] = forbidden is not None
        if update.get("status") not in ("completed", "failed"):
            return
        del self._calls[ident]
        if update.get("status") == "failed" or ident in self._asking.asked_for:
            return
        if self._asking.guarded(call) is not None:
            self._tell_of_notebook()
        acts = kind in CHANGING or kind == "execute"
        by_rule = forbidden is not None and forbidden.startswith("rule ") and kind not in LOOKING
        if forbidden is not None and call["forbidden"] and (acts or by_rule):
            self._tell(kind, as_str(call.get("title")) or kind, forbidden)

    def _tell_of_notebook(self) -> None:
        if "notebook" not in self._told:
            self._told.add("notebook")
            said = f"the agent changed {self._asking.spec.notebook} without asking: {OWN_NOTEBOOK}"
            self._asking.recorder.own("warning", message=said)

    def _tell(self, kind: str, title: str, forbidden: str) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        said = (
            f"the agent did not ask before {title[:200]!r}, which the run forbids ({forbidden}):"
            " its own settings allow it. Take that out of them; until then this does not hold"
        )
        self._asking.recorder.own("warning", message=said)
