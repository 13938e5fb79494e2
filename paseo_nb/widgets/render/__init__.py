"""Rendering: a run's history as static HTML, Markdown and plain text, by pure functions.

No kernel, no I/O, no IPython; what an agent wrote is hostile text and leaves `text`, `messages`
or `terminal` harmless, or not at all.
Called for every notebook output and by the widgets; `story` decides what is told, `as_html`,
`as_markdown` and `as_plain` how it looks.
"""

from .bundles import bundle, metadata
from .diffs import diff_html
from .tables import RunRow, runs_table

__all__ = ["RunRow", "bundle", "diff_html", "metadata", "runs_table"]
