"""The tools that the model gets: one file per kind of work, none of which knows ACP or a model."""

from .base import Done, Tool, ToolFailed, Work, outside, schema
from .files import Edit, Read, Write
from .plan import Plan
from .search import Glob, Grep
from .shell import Shell

TOOLS: dict[str, type[Tool]] = {
    tool.NAME: tool for tool in (Read, Write, Edit, Glob, Grep, Shell, Plan)
}

__all__ = ["TOOLS", "Done", "Tool", "ToolFailed", "Work", "outside", "schema"]
