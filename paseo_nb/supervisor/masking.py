"""Secrets never reach the disk: values are masked before a line is first written.

What counts as a secret: the value of an environment variable whose name says so, in every form
that JSON may give it, anything that begins like a known vendor's token, and a private key in a PEM
block (`pem`). A secret that an agent
streams in pieces is caught by `Splits`, which holds a chunk back that ends in the beginning of one:
of such a secret its first two characters may be written, never more.
"""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from . import pem

NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(?:^|_)(?:PASS|PWD|AUTH)(?:$|_)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:FILE|PATH|DIR|FOLDER|SOCK)$", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
MIN_LENGTH = 8
MASK = "•••"
_MASK = MASK.encode()
LONGEST_TOKEN = 512

# Beginnings of tokens of vendors that agents deal with, and what may follow.
TOKEN_PREFIXES = (
    "sk-", "sk_live_", "rk_live_", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-",
    "xoxb-", "xoxp-", "xoxa-", "xapp-", "AKIA", "ASIA", "AIza", "ya29.", "hf_", "npm_", "pypi-",
    "SG.", "dop_v1_", "eyJhbGciOi",
)  # fmt: skip
_PREFIX = "|".join(re.escape(prefix) for prefix in TOKEN_PREFIXES)
# Where a token may begin: not within a word, but after what JSON escapes (`\nsk-`).
_BEGIN = r"(?:(?<![A-Za-z0-9_])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
# What must follow a beginning, so that words stay words: `hf_hub_download`, `npm_config_registry`,
# `sk-learn-contrib`, `pypi-publish`. Keys after `sk-` have a digit somewhere.
_SURE = "|".join(
    (
        r"sk-(?=[A-Za-z0-9_\-]{16})(?=[A-Za-z_\-]*[0-9])",
        r"(?:sk_live_|rk_live_|ghp_|gho_|ghs_|ghu_|ghr_|hf_|npm_)(?=[A-Za-z0-9]{16})",
        r"ya29\.(?=[A-Za-z0-9_\-]{16})",
        r"SG\.(?=[A-Za-z0-9_\-]{16,}\.)",
        r"github_pat_(?=[A-Za-z0-9_]{16})",
        r"glpat-(?=[A-Za-z0-9_\-]{16})",
        r"(?:xoxb-|xoxp-|xoxa-|xapp-)(?=[A-Za-z0-9\-]{16})",
        r"(?:AKIA|ASIA)(?=[A-Z0-9]{16})",
        r"AIza(?=[A-Za-z0-9_\-]{16})",
        r"pypi-(?=Ag[A-Za-z0-9_\-]{16})",
        r"dop_v1_(?=[a-f0-9]{16})",
        r"eyJhbGciOi(?=[A-Za-z0-9_.\-]{16})",
    )
)
_TOKEN_BYTES = re.compile(rf"{_BEGIN}({_SURE})[A-Za-z0-9_.\-]+".encode())
# A token over a chunk's border: the first part may be long enough to be masked already.
_TOKEN_SPLIT = re.compile(
    rf"{_BEGIN}({_SURE}|(?:{_PREFIX})(?={MASK}[A-Za-z0-9_.\-]))(?:{MASK})?[A-Za-z0-9_.\-]+"
)
_TOKEN_BEGUN = re.compile(rf"{_BEGIN}(?:{_PREFIX})(?:{MASK})?[A-Za-z0-9_.\-]*\Z")
_TOKEN_LETTERS = string.ascii_letters + string.digits + "_.-"
_PREFIX_BYTES = tuple(prefix.encode() for prefix in TOKEN_PREFIXES)


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """The values worth masking: of telling names, long enough not to be a word or a number."""
    values = {
        value
        for name, value in environment.items()
        if NAME.search(name) and not _is_path(name, value)
    }
    values |= {word for value in environment.values() for word in _IN_URL.findall(value)}
    values = {value for value in values if len(value) >= MIN_LENGTH}
    return sorted(values, key=len, reverse=True)


def _is_path(name: str, value: str) -> bool:
    """A key may begin with a slash too: what tells a path is its name, or that it is there."""
    return value.startswith("/") and (_PLACE.search(name) is not None or os.path.exists(value))


def _forms(value: str) -> set[str]:
    plain = json.dumps(value, ensure_ascii=False)[1:-1]
    ascii_only = json.dumps(value)[1:-1]
    forms = {value, plain, ascii_only}
    forms |= {form.replace("/", "\\/") for form in forms}
    # JSON inside JSON (a tool's output that is itself a JSON text) escapes once more.
    forms |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in tuple(forms)}
    return forms


class Masker:
    """Masks the secrets of one run in bytes and in text.

    A glance (leftmost search, which runs on vector instructions) passes over every byte; only
    where it stops does the thorough search look, line by line: false alarms ("task-") are common.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = sorted({s for s in secrets if s}, key=len, reverse=True)
        # Without its first two characters too: those may have come before, in another message.
        forms = {f for s in self.secrets for part in (s, s[2:]) if part for f in _forms(part)}
        values = sorted((form.encode() for form in forms), key=len, reverse=True)
        self._values = re.compile(b"|".join(map(re.escape, values))) if values else None
        self.longest = max([LONGEST_TOKEN, *map(len, values)])
        self._across_lines = any(b"\n" in value for value in values)
        self._begins = [*self.secrets, *TOKEN_PREFIXES]
        self.starts = frozenset(text[:3] for text in self._begins)
        # Any three characters within a beginning, and where they end in it.
        self._within: dict[str, list[tuple[str, int]]] = {}
        for text in self._begins:
            for at in range(3, len(text)):
                self._within.setdefault(text[at - 3 : at], []).append((text, at))
        self.ends = frozenset({*self._within, MASK})
        needles = [*_PREFIX_BYTES, pem.NEEDLE, *values]
        self._glance = BytesAhoCorasick(
            needles, matchkind=MatchKind.LeftmostLongest
        ).find_matches_as_indexes
        self._find = BytesAhoCorasick(
            needles, implementation=Implementation.DFA
        ).find_matches_as_indexes

    def __call__(self, data: bytes) -> bytes:
        """The data with every secret masked."""
        return self._thorough(data) if self._glance(data) else data

    def lines(self, block: bytes) -> tuple[list[bytes], dict[int, bytes], set[int]]:
        """The block's lines with every secret masked; as they came, those that had one; and the
        numbers of those that have one or where a token may have begun."""
        hits = self._glance(block)
        lines = block.split(b"\n")
        if not hits:
            return lines, {}, set()
        if self._across_lines:
            masked = self._thorough(block).split(b"\n")
            pairs = zip(lines, masked, strict=False)
            came = {n: came for n, (came, line) in enumerate(pairs) if came != line}
            return masked, came, set(range(len(masked)))
        came: dict[int, bytes] = {}
        suspects: set[int] = set()
        at = number = 0
        for _, start, _ in hits:
            number += block.count(b"\n", at, start)
            at = start
            if number not in suspects:
                suspects.add(number)
                line = self._thorough(lines[number])
                if line != lines[number]:
                    came[number], lines[number] = lines[number], line
        return lines, came, suspects

    def _thorough(self, data: bytes) -> bytes:
        hits = self._find(data, True)
        tokens = len(_PREFIX_BYTES)
        if any(hit[0] == tokens for hit in hits):
            data = pem.masked(data, _MASK)
        if self._values is not None and any(hit[0] > tokens for hit in hits):
            data = self._values.sub(_MASK, data)
            hits = self._find(data, True)
        if any(hit[0] < tokens and _TOKEN_BYTES.match(data, hit[1]) for hit in hits):
            data = _TOKEN_BYTES.sub(rb"\1" + _MASK, data)
        return data

    def safe_cut(self, data: bytes, cut: int) -> int:
        """The last place at or before `cut` where the data may be parted without parting a
        secret."""
        cut = pem.open_at(data, cut)
        window = data[max(cut - self.longest, 0) : cut + self.longest]
        for pattern in (self._values, _TOKEN_BYTES):
            for match in pattern.finditer(window) if pattern else ():
                start = max(cut - self.longest, 0) + match.start()
                if start < cut < start + len(match.group()):
                    cut = start
        return cut

    def unsure(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret that goes on."""
        last = data[-self.longest :]
        keep = min(len(last) - len(last.rstrip(_TOKEN_LETTERS.encode())), 2)
        if self.begun(last.decode("utf-8", "replace")):
            keep = len(last)
        return len(data) - self.safe_cut(data, len(data) - keep)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand in plain text."""
        if not self._glance(text.encode("utf-8", "surrogatepass")):
            return []
        found: list[tuple[int, int]] = []
        for secret in self.secrets:
            at = text.find(secret)
            while at >= 0:
                found.append((at, at + len(secret)))
                at = text.find(secret, at + 1)
        found += [(m.end(1), m.end()) for m in _TOKEN_SPLIT.finditer(text)]
        return sorted(found)

    def begun(self, text: str) -> bool:
        """Whether the text ends with the beginning of a secret, three characters at least, or in
        a token that was masked and may go on."""
        if any(text.endswith(whole[:at]) for whole, at in self._within.get(text[-3:], ())):
            return True
        last = text[-LONGEST_TOKEN:]
        before = last.rstrip(_TOKEN_LETTERS).removesuffix(MASK).rstrip(_TOKEN_LETTERS)
        return _TOKEN_BEGUN.search(last, len(before)) is not None


class Splits:
    """Catches a secret over the borders of text chunks of one kind.

    Most chunks `passes` lets go at a glance. Of the others `take(kind, raw)` gives back what may
    be written now, in order; `flush` gives all that is held.
    """

    def __init__(self, masker: Masker, paths: Mapping[str, tuple[str, ...]]) -> None:
        self.masker, self.paths = masker, paths
        self.kind = ""
        self.held: list[tuple[bytes, str]] = []
        self._said = ""  # the last two characters written
        self._begun = ""  # the beginning of a secret that had to be written, for time was up
        self._blocks = pem.Blocks(MASK)

    def passes(self, kind: str, text: str | None) -> bool:
        """Whether a chunk with this text may be written as it is; False if unsure. Not for suspects
        of `Masker.lines`."""
        if self.held or text is None or len(text) < 3:
            return False
        if kind != self.kind:
            self._other(kind)
        border = self._said + text[:2]
        masker = self.masker
        if text[-3:] in masker.ends or border[-3:] in masker.starts or border[:3] in masker.starts:
            return False
        if self._begun or self._blocks.watching or self._blocks.may_begin(text):
            return False
        self._said = text[-2:]
        return True

    def take(self, kind: str, raw: bytes) -> list[tuple[str, bytes]]:
        """Lines that may be written after this chunk came."""
        before: list[tuple[str, bytes]] = []
        if kind != self.kind:
            before = self.flush()
            self._other(kind)
        text = chunk_text(raw, self.paths[kind])
        if text is None:
            return [*before, *self.flush(), (kind, raw)]
        self.held.append((raw, text))
        joined = self._context() + "".join(part for _, part in self.held)
        if self.masker.begun(joined) and len(joined) < 4 * self.masker.longest:
            return before
        return [*before, *self.flush()]

    def _other(self, kind: str) -> None:
        self.kind, self._said, self._begun = kind, "", ""
        self._blocks = pem.Blocks(MASK)

    def _context(self) -> str:
        return self._begun or self._said

    def flush(self) -> list[tuple[str, bytes]]:
        """Everything held, with secrets across its borders masked."""
        held, self.held = self.held, []
        if not held:
            return []
        texts = [self._context(), *(text for _, text in held)]
        joined = "".join(texts)
        masked = [self._blocks.cut(text) for text in mask_across(texts, self.masker)[1:]]
        self._begun = joined[-self.masker.longest :] if self.masker.begun(joined) else ""
        self._said = joined[-2:]
        return [
            (self.kind, raw if text == new else with_text(raw, new, self.paths[self.kind]))
            for (raw, text), new in zip(held, masked, strict=True)
        ]


def mask_across(texts: list[str], masker: Masker) -> list[str]:
    """Mask secrets that lie across several texts; each keeps what is its own."""
    spans = masker.spans("".join(texts))
    if not spans:
        return texts
    out: list[str] = []
    at = 0
    for text in texts:
        end, kept, position = at + len(text), "", at
        for start, stop in spans:
            if stop <= position or start >= end:
                continue
            if start >= position:
                kept += text[position - at : start - at] + MASK
            position = max(position, min(stop, end))
        out.append(kept + text[position - at :])
        at = end
    return out


def chunk_text(raw: bytes, path: tuple[str, ...]) -> str | None:
    """The text that stands there in a message; None where it is something else."""
    try:
        text: Any = msgspec.json.decode(raw)
        for name in path:
            text = text[name]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None
    return text if isinstance(text, str) else None


def with_text(raw: bytes, text: str, path: tuple[str, ...]) -> bytes:
    """The same message with another text there."""
    message: Any = msgspec.json.decode(raw)
    place = message
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = text
    return msgspec.json.encode(message)
