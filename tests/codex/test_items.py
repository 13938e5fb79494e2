"""What passes for a command that only looks: under modes read and edit it is not asked about."""

from __future__ import annotations

import pytest

from paseo_nb.drivers.codex_items import command_kind, diff_content, only_looks


@pytest.mark.parametrize(
    "script", ["ls", "cat a.txt | wc -l", "cat a && ls -la; pwd", "grep -rn 'a;b > c' .", "rg x"]
)
def test_it_looks(script: str) -> None:
    assert only_looks(script)
    assert command_kind(f'/bin/bash -lc "{script}"') == "read"


@pytest.mark.parametrize(
    "script",
    [
        "", "rm x", "ls; rm x", "ls;rm x", "ls\nrm x", "ls & rm x", "ls && rm x", "ls | xargs rm",
        "cat a > b", "cat a >> b", "cat a>b", "cat $(rm x)", "cat `rm x`", "cat <(rm x)",
        "cat ${x:=$(rm x)}", "ls#a; rm x", "FOO=1 ls", "X=1", "sudo ls", "./ls",
        "rg --pre rm x", "rg --pre=rm x", "find . -delete", "tree -o file", "tee x",
        "sed -i s/a/b/ x", "(rm x)", "{ rm x; }", "! rm x", "ls || rm x", "cat 'unclosed",
        "ls\\\n;rm x", "echo hi 2>x",
    ],
)  # fmt: skip
def test_it_may_do_more(script: str) -> None:
    assert not only_looks(script), script


def test_a_patch_of_two_places() -> None:
    diff = "@@ -1,2 +1,2 @@\n a\n-b\n+B\n@@ -9,1 +9,2 @@\n z\n+y\n\\ No newline at end of file\n"
    change = {"path": "/x", "kind": {"type": "update"}, "diff": diff}
    assert diff_content(change) == {
        "type": "diff", "path": "/x", "oldText": "a\nb\nz\n", "newText": "a\nB\nz\ny\n",
    }  # fmt: skip
