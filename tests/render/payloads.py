"""Hostile strings, and runs that carry one in every place where an agent's text is shown.

Every payload that could run a script would set `window.__pwned`.
"""

from __future__ import annotations

from typing import Any

from paseo_nb.git.values import DiffSummary, FileChange
from paseo_nb.model import RunSpec

from . import tales
from .tales import Tale, text_block

PWN = "window.__pwned=1"
PAYLOADS: dict[str, str] = {
    "script": f"<script>{PWN}</script>",
    "script-case": f"<ScRiPt/x>{PWN}</sCrIpT >",
    "script-src": '<script src="https://evil.example/x.js"></script>',
    "img-onerror": f"<img src=x onerror={PWN}>",
    "img-quotes": f"\"><img src='x' onerror='{PWN}'>",
    "attr-break": f'" onmouseover="{PWN}" x="',
    "attr-break-single": f"' autofocus onfocus='{PWN}' tabindex=0 x='",
    "style-break": f"red;background:url(https://evil.example/p.png)\" onclick=\"{PWN}",
    "svg": f"<svg onload={PWN}><animate onbegin={PWN} attributeName=x></svg>",
    "svg-script": f"<svg><script>{PWN}</script></svg>",
    "math": f'<math><mtext><table><mglyph><style><img src=x onerror="{PWN}">',
    "iframe": f'<iframe srcdoc="<script>parent.{PWN}</script>"></iframe>',
    "object": "<object data=https://evil.example/x></object><embed src=https://evil.example/y>",
    "base": '<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example">',
    "form": f'<form action="javascript:{PWN}"><button autofocus onfocus={PWN}>x</button></form>',
    "details": f"<details open ontoggle={PWN}><summary>x</summary></details>",
    "video": f"<video><source onerror={PWN}></video><audio src onerror={PWN}>",
    "style-tag": "<style>@import 'https://evil.example/x.css';*{background:url(//evil.example)}</style>",
    "link-tag": '<link rel=stylesheet href="https://evil.example/x.css">',
    "unclosed-tag": "<b><i><a href='https://evil.example",
    "unclosed-comment": "<!-- <p>--!><img src=x onerror=" + PWN + ">",
    "closing-tags": f"</code></pre></summary></details></div></div></blockquote><img src=x onerror={PWN}>",
    "cdata": f"<![CDATA[<script>{PWN}</script>]]><?php {PWN} ?><!DOCTYPE html>",
    "textarea": f"<textarea></textarea><title></title><noscript><img src=x onerror={PWN}></noscript>",
    "entities": f"&lt;script&gt;{PWN}&lt;/script&gt; &#60;img src=x onerror={PWN}&#62; &amp;lt;script&amp;gt;",
    "entities-hex": f"&#x3c;script&#x3e;{PWN}&#x3C;/script&#x3E;",
    "md-javascript": f"[click](javascript:{PWN})",
    "md-javascript-case": f"[click](JaVaScRiPt:{PWN}) [tab](java\tscript:{PWN}) [ctl](\x01javascript:{PWN})",
    "md-javascript-entity": f"[click](&#106;avascript:{PWN}) [colon](javascript&colon;{PWN})",
    "md-javascript-angle": f"[click](<javascript:{PWN}>) [t](javascript:{PWN} \"title\")",
    "md-data": "[click](data:text/html;base64,PHNjcmlwdD53aW5kb3cuX19wd25lZD0xPC9zY3JpcHQ+)",
    "md-vbscript": "[click](vbscript:msgbox(1)) [f](file:///etc/passwd) [b](blob:https://x/1)",
    "md-relative": "[a](/lab/api/contents) [b](//evil.example) [c](\\\\evil.example) [d](https:evil)",
    "md-reference": f"[click][r]\n\n[r]: javascript:{PWN}\n",
    "md-autolink": f"<javascript:{PWN}> <data:text/html,x> <x-app:evil>",
    "md-image": "![pixel](https://evil.example/pixel.png) ![d](data:image/svg+xml;base64,PHN2Zz4=)",
    "md-image-link": f"[![x](https://evil.example/a.png)](javascript:{PWN})",
    "md-image-reference": "![x][i]\n\n[i]: https://evil.example/ref.png\n",
    "md-link-quotes": f"[x](https://a.example/\"onmouseover=\"{PWN}) <https://a.example/\"onclick=\"{PWN}>",
    "bare-url": f"https://a.example/\"><img/src=x/onerror={PWN}> https://a.example/'onclick='{PWN}",
    "md-html-block": f"<div>\n\n<script>{PWN}</script>\n\n</div>\n",
    "fence": f"```\n```\n<script>{PWN}</script>\n````\n<img src=x onerror={PWN}>\n",
    "fence-info": f"```<script>{PWN}</script> \" onclick={PWN}\ncode\n```\n~~~html\n<b>\n~~~\n",
    "fence-tildes": f"~~~~\n<img src=x onerror={PWN}>\n",
    "backticks": f"` <img src=x onerror={PWN}> `` ``` </code><script>{PWN}</script>",
    "table": f"| a | b |\n|---|---|\n| <img src=x onerror={PWN}> | `</td><script>{PWN}</script>` |\n",
    "heading": f"# <script>{PWN}</script>\n\n# {{#id onclick={PWN}}}\n",
    "footnote": f"[^1]\n\n[^1]: <img src=x onerror={PWN}>\n",
    "template": "${" + PWN + "} {{constructor.constructor('" + PWN + "')()}} <%= x %> #{x}",
    "mathjax": f"$\\href{{javascript:{PWN}}}{{x}}$ \\(\\unicode{{x}}\\) \\begin{{x}}y\\end{{x}} $$a$$",
    "osc8": f"\x1b]8;;javascript:{PWN}\x1b\\click\x1b]8;;\x07 \x1b]0;title\x07",
    "osc8-open": "\x1b]8;;https://evil.example/never-closed",
    "osc52": "\x1b]52;c;ZXZpbA==\x07\x1bP+q544e\x1b\\\x1b_Gf=100;AAAA\x1b\\",
    "csi": f"\x1b[31m<b>\x1b[1;38;5;9mred\x1b[0m\x1b[2J\x1b[H\x1b[?25l\x1b]<script>{PWN}</script>",
    "csi-c1": f"\x9b31m<img src=x onerror={PWN}>\x9d8;;javascript:{PWN}\x9cx",
    "sgr-inject": f"\x1b[31;\"onclick={PWN}m <i>",
    "escape-in-tag": f"<scr\x1b[0mipt>{PWN}</scr\x00ipt> <im\u200bg src=x onerror={PWN}>",
    "controls": "\x00\x01\x08\x0b\x0c\x1f\x7f\x85\x9f a\rb",
    "bidi": "\u202e\u2066 if admin \u2069\u2066 {begin \u200f\u061c user\u202c",
    "invisible": "a\u200b\u2060\ufeff\xad\u2063\U000e0041\U000e007fb",
    "surrogate": "a\ud800b\udfffc",
    "newlines": f"\u2028</pre>\u2029<script>{PWN}</script>\r\n\r",
    "null-tag": f"<\x00script>{PWN}</script><a href=\"java\x00script:{PWN}\">",
    "utf7": "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "fullwidth": f"＜script＞{PWN}＜/script＞",
    "diff-lines": f"--- a/<script>{PWN}</script>\n+++ b/<img src=x onerror={PWN}>\n@@ -1 +1 @@\n-<b>\n+<i>\n",
    "path": f"../../<img src=x onerror={PWN}>/$(touch pwned)/`id`.py",
    "exit-text": f"Exit code 1\n<img src=x onerror={PWN}>\n1 failed in <svg onload={PWN}>s",
    "shell": "$(rm -rf ~); `id` && ; \" ' | \n%paseo allow all",
    "redos": "[" * 300 + "(" * 300 + "*_" * 200 + "`" * 99 + "<" * 300,
}  # fmt: skip


def patch_with(text: str) -> str:
    """A patch with the text as path, as a line, and as raw garbage."""
    return (
        f"diff --git a/{text} b/{text}\nindex 1..2 100644\n--- a/{text}\n+++ b/{text}\n"
        f"@@ -1,2 +1,2 @@ {text}\n-{text}\n+{text}\n {text}\nBinary files {text} differ\n{text}\n"
    )


def everywhere(text: str) -> tuple[Tale, RunSpec, DiffSummary]:
    """A run with the text in every place that a rendering shows. A question stays open."""
    tale = Tale()
    tale.line("in", "initialize:result", {"result": {"agentInfo": {"name": text, "version": text}}})
    models = {"currentModelId": text, "availableModels": []}
    tale.line("in", "session/new:result", {"result": {"sessionId": text, "models": models}})
    tale.update("session_info_update", title=text)
    tale.prompt(text)
    tale.says(text).says(f"in the middle {text} of a line\n\n- {text}\n\n> {text}\n\n{text}")
    tale.thinks(text)
    tale.plans((text, text), ("completed", text), ("in_progress", text))
    path = {"path": text}
    for number, kind in enumerate(("read", "edit", "execute", "search", "fetch", "other", text)):
        given: dict[str, Any] = {
            "command": text, "pattern": text, "url": text, "file_path": text,
            "old_string": text, "new_string": text + "x", text: text,
        }  # fmt: skip
        fields: dict[str, Any] = {"rawInput": given, "locations": [path]}
        tale.begins(f"done{number}", kind, text, **fields)
        output: Any = {"output": text, "stderr": text, "metadata": {"diff": patch_with(text)}}
        tale.ends(f"done{number}", content=[text_block(text)], rawOutput=output)
        tale.begins(f"bad{number}", kind, text, **fields)
        tale.ends(
            f"bad{number}", status="failed", content=[], rawOutput=output if number % 2 else text
        )
        tale.begins(f"open{number}", kind, text, **fields)
    diffs = [{"type": "diff", "path": text, "oldText": text, "newText": text + "\n" + text}]
    tale.begins("diff", "edit", text, content=diffs * 2, locations=[path]).ends("diff")
    link = {"type": "content", "content": {"type": "resource_link", "name": text, "uri": text}}
    tale.begins("link", "read", text, content=[link, {"type": text}]).ends("link")
    options = [{"optionId": text, "name": text, "kind": text}, {"optionId": text}]
    for call, option in (("ask1", text), ("ask2", "reject")):
        asked = tale.asks(
            call, text, options=[*options, *tales.OPTIONS], rawInput={"command": text}
        )
        tale.answers(asked, option, by=text, message=text)
    tale.line("own", "limit", {"message": text}).line("own", "warning", {"message": text})
    error = {"code": text, "message": f"{text}\n{text}", "hint": text}
    tale.costs(0.5).result(1000).ended("error", error=error)
    tale.prompt(text, origin=text)
    tale.says(text)
    for call, kind in (("ask3", "edit"), ("ask4", text)):
        given = {"command": text, "file_path": text, "old_string": text, "new_string": text + "y"}
        tale.asks(call, text, kind, options=[*options, *tales.OPTIONS], rawInput=given)
    tale.says(text)
    spec = tales.spec(
        provider=text, model=text, branch=text, title=text, cwd=text, label=text, repo=text
    )
    diff = DiffSummary(
        [FileChange(text, 1, 1), FileChange(text, None, None, text)], patch_with(text), text
    )
    return tale, spec, diff
