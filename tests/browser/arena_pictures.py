"""Takes the arena's pictures in JupyterLab: `python -m tests.browser.arena_pictures FOLDER`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.test_arena_lab import Scene


def main(folder: Path) -> None:
    """Light and dark, of a match each."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        with tempfile.TemporaryDirectory() as temp:
            scene = Scene(Path(temp), os.environ.__setitem__)
            os.chdir(scene.repo)
            try:
                scene.play(
                    lambda view, name, theme=theme: view.screenshot(
                        path=folder / f"arena-{name}-{theme}.png"
                    ),
                    dark=theme == "dark",
                )
            finally:
                scene.close()
                os.chdir(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
