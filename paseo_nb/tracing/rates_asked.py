"""The program that a supervisor has look into the price table: a model in, its rates out.

One JSON object on standard input (provider, at_heart, model, prices: the settings' as they were at
the launch), one on standard output (rates, why: of a model that has none).
"""

from __future__ import annotations

import json
import sys

import msgspec

from ..config import Price
from .prices import Book


def main() -> None:
    """Answer one question."""
    wish = json.loads(sys.stdin.buffer.read())
    prices = msgspec.convert(wish["prices"], dict[str, Price])
    rates, why = Book(prices).rates(wish["provider"], wish["model"], at_heart=wish["at_heart"])
    sys.stdout.write(json.dumps({"rates": msgspec.to_builtins(rates), "why": why}))
