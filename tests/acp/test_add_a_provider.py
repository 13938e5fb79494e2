"""docs/add-a-provider.md does what it says: its file and its row, put into a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import paseo_nb
from paseo_nb.programs.demo import copy_sample

PAGE = Path(__file__).parents[2] / "docs" / "add-a-provider.md"
USE = """
import json, paseo_nb as paseo
run = paseo.run("example/fixer", "The tests fail. Fix the code.", worktree="fix")
listed = paseo.providers().set_index("provider").loc["example"]
print(json.dumps([run.text, run.spec.provider, run.usage.input_tokens, listed["notes"]]))
run.stop()
"""


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    file, row = re.findall(
        r"```(?:python|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert file.count("\n") < 80
    package = Path(paseo_nb.__file__).parent
    copy = tmp_path / "lib" / "paseo_nb"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "drivers" / "example.py").write_text(file, encoding="utf-8")
    table = copy / "drivers" / "table.py"
    text = table.read_text(encoding="utf-8")
    assert text.endswith(")\n")
    table.write_text(text[: -len(")\n")] + row + ")\n", encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(copy.parent), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=copy_sample(tmp_path / "tidelog"),
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said, provider, tokens, notes = json.loads(done.stdout.splitlines()[-1])
    assert "13 tests pass" in said
    assert (provider, notes) == ("example", "an example")
    assert tokens > 0
