"""Inline styles: JupyterLab's variables with fallbacks, no rule that asks "light or dark?".

Text roles mix a role colour into the text's own colour, which darkens it on light and lightens it
on dark; grounds are translucent. All of it may be stripped: no meaning is in here.
"""

from __future__ import annotations

from .states import Tone


def _role(variable: str, fallback: str, share: int) -> str:
    return f"color:color-mix(in srgb,var({variable},{fallback}) {share}%,currentColor)"


TONES: dict[Tone, str] = {
    "": "",
    "ok": _role("--jp-success-color1", "#388e3c", 80),
    "now": _role("--jp-brand-color1", "#1976d2", 84),
    "warn": _role("--jp-warn-color1", "#f57c00", 60),
    "bad": _role("--jp-error-color1", "#d32f2f", 86),
    "quiet": "color:color-mix(in srgb,currentColor 78%,transparent)",
}
ADDED = "rgba(46,160,67,.16)"
REMOVED = "rgba(248,81,73,.16)"
GROUNDS: dict[Tone, str] = {
    "": "rgba(128,128,128,.08)",
    "ok": ADDED,
    "now": "rgba(33,150,243,.1)",
    "warn": "rgba(245,124,0,.1)",
    "bad": "rgba(211,47,47,.1)",
    "quiet": "rgba(128,128,128,.08)",
}
EDGES: dict[Tone, str] = {
    "warn": "var(--jp-warn-color1,#f57c00)",
    "bad": "var(--jp-error-color1,#d32f2f)",
}
LINE = "var(--jp-border-color2,rgba(128,128,128,.3))"
HAIR = "rgba(128,128,128,.16)"
MONO = "var(--jp-code-font-family,Menlo,Consolas,'DejaVu Sans Mono',monospace)"
SANS = "var(--jp-content-font-family,system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif)"

ROOT = (
    f"border:1px solid {LINE};border-radius:6px;padding:12px 14px;"
    f"color:var(--jp-ui-font-color1,inherit);font:14px/1.6 {SANS};"
    "overflow-wrap:anywhere;font-variant-numeric:tabular-nums"
)
WIDTH = "max-width:92ch"
P = "margin:0 0 8px"
SMALL = "font-size:12px"
CODE = "font-size:.92em;background:none;padding:0"
PILL = "font-size:.9em;background:rgba(128,128,128,.12);padding:0 3px;border-radius:3px"
PRE = (
    "margin:0 0 8px;padding:8px 12px;overflow:auto;border-radius:4px;"
    f"background:rgba(128,128,128,.08);font:12px/1.5 {MONO};white-space:pre"
)
QUOTE = f"margin:0 0 8px;padding:0 0 0 10px;border-left:2px solid {LINE}"
ROWS = f"margin:0 0 10px;border:1px solid {LINE};border-radius:4px;font-size:13px"
BOX = "margin:0 0 10px;padding:8px 12px;border-radius:4px"
ROW = "padding:3px 10px"
ROW_INDENTED = "padding:3px 10px 3px 25px"
THOUGHT = "padding:0 0 6px;cursor:pointer"
ROW_LINE = f"border-top:1px solid {HAIR}"
SUMMARY = "padding:3px 10px;cursor:pointer"
BODY = "margin:0 10px 8px"
LIST = "margin:0 0 8px;padding:0 0 0 22px"
PLAIN_LIST = "margin:0;padding:0;list-style:none"
TABLE = "margin:0 0 8px;border-collapse:collapse;font-size:13px;display:block;overflow-x:auto"
CELL = f"text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid {HAIR};vertical-align:top"
NUMBER = CELL.replace("left", "right", 1) + ";white-space:nowrap"
THUMBNAIL = "max-height:96px;max-width:100%;margin:0 8px 4px 0;border-radius:3px"
CARET = TONES["now"]
LINK = "color:inherit;text-decoration:underline"
