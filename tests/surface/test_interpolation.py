"""`--fill`: what in braces is filled in, what survives, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest

from paseo_nb.errors import UsageProblem
from paseo_nb.interpolation import fill

NAMES = {
    "n": 3,
    "i": 1,
    "x": [5, 6],
    "conf": {"port": 80, "deep": {"z": "Z"}},
    "df": pd.DataFrame({"a": [1, 2], "b": ["x|y", "z"]}),
    "brace": "{n}",
}


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("use {n}, {n}.", "use 3, 3."),
        ("a{n}b{i}", "a3b1"),
        ("{df.shape} {x[0]} {x[-1]} {x[i]}", "(2, 2) 5 6 6"),
        ("{conf['port']} {conf[\"deep\"]['z']}", "80 Z"),
        ("{df}", "| a | b |\n| --- | --- |\n| 1 | x\\|y |\n| 2 | z |"),
        ("{brace}", "{n}"),
        ("columns 'f' is {n} and 'g'", "columns 'f' is 3 and 'g'"),
        ("don't: {n}, it's", "don't: 3, it's"),
    ],
)
def test_values_stand_in_place_of_names(prompt: str, filled: str) -> None:
    assert fill(prompt, NAMES) == filled


@pytest.mark.parametrize(
    "code",
    [
        "{{n}} {{ n }} ${n} ${nobody} {n:.2f} {n!r} { n } {} {n()} {n + 1}",
        '{"a": 1, "b": {"c": [1, 2]}} {\'a\': {n}} {1, 2}',
        'print(f"{n} {nobody}") and f\'{nobody}\' and rf"{nobody}"',
        'f"""{nobody}\n{n}"""',
        "`{n}` and ``{nobody} ` {n}``",
        "```python\nx = {nobody}\n```",
        "  ~~~\n{n}\n  ~~~",
        "```\nnot closed {nobody}",
        r"\frac{n}{nobody} \begin{itemize}",
        "function () {return}",
    ],
)
def test_braces_of_code_survive(code: str) -> None:
    assert fill(code, NAMES) == code
    assert fill(f"{{n}}\n{code}", NAMES) == f"3\n{code}"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{nobody}", "no name for {nobody}"),
        ("see {cnf.port}", "Did you mean conf?"),
        ("{df.shap}", "no attribute 'shap'"),
        ("{x[9]}", "{x[9]}: IndexError"),
        ("{conf['prt']}", "KeyError: 'prt'"),
        ("```\n{nobody}\n```\n{nobody}", "no name for {nobody}"),
    ],
)
def test_a_name_that_there_is_not_is_one_line(prompt: str, said: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        fill(prompt, NAMES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
