/** A file's change: line numbers where the hunks tell them, signs, syntax colours. */

import { colourLines, languageOf, painted } from "./colour.js";
import { add, h } from "./dom.js";
import { clean, list, num, str } from "./text.js";
import { count, plural } from "./units.js";

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;
const FIRST = 120; // lines at first
const MORE = 1000;
const WIDE = 2000; // characters of a line

/**
 * @typedef {{kind: "add" | "del" | "" | "hunk", old: number | null, now: number | null, text: string}} Line
 * @param {any[]} raw @returns {Line[]}
 */
function read(raw) {
  const lines = raw.map((line) => clean(str(line).slice(0, WIDE)).replace(/\n/g, "⏎"));
  const fresh = lines.length > 0 && lines.every((line) => line.startsWith("+"));
  let old = fresh ? 1 : 0;
  let now = fresh ? 1 : 0; // 0: not known
  return lines.map((line) => {
    const sign = line[0] ?? " ";
    if (sign === "@" || sign === "\\") {
      const found = HUNK.exec(line);
      old = found ? Number(found[1]) : 0;
      now = found ? Number(found[2]) : 0;
      return { kind: "hunk", old: null, now: null, text: line };
    }
    const kind = sign === "+" ? "add" : sign === "-" ? "del" : "";
    return {
      kind,
      old: kind !== "add" && old ? old++ : null,
      now: kind !== "del" && now ? now++ : null,
      text: line.slice(1),
    };
  });
}

/** Each line's coloured pieces: both sides of every hunk are read as code of their own. @param {Line[]} lines @param {string} path */
function coloured(lines, path) {
  const language = languageOf(path);
  /** @type {import("./colour.js").Piece[][]} */
  const out = lines.map((line) => [[line.text, ""]]);
  if (!language) return out;
  for (let from = 0; from < lines.length; ) {
    let to = from;
    while (to < lines.length && lines[to].kind !== "hunk") to++;
    for (const other of ["add", "del"]) {
      const side = [];
      for (let i = from; i < to; i++) if (lines[i].kind !== other) side.push(i);
      const painted = colourLines(side.map((i) => lines[i].text).join("\n"), language);
      side.forEach((line, k) => (out[line] = painted[k] ?? out[line]));
    }
    from = to + 1;
  }
  return out;
}

const SIGNS = { add: "+", del: "−", "": "", hunk: "" };
const WORDS = { add: "added: ", del: "removed: ", "": "", hunk: "" };

/** @param {any} file @returns {HTMLElement} */
export function diffBody(file) {
  const all = list(file?.lines);
  const body = h("div.in");
  const show = (/** @type {number} */ limit) => {
    const lines = read(all.slice(0, limit));
    const pieces = coloured(lines, str(file?.path));
    const numbered = lines.some((line) => line.old !== null || line.now !== null);
    const table = h(`div.diff${numbered ? "" : ".bare"}`, { tabindex: 0, role: "region", "aria-label": `Changes of ${clean(file?.path)}` });
    const inner = h("div.lines");
    lines.forEach((line, i) =>
      add(
        inner,
        line.kind === "hunk"
          ? h("div.hunk", null, line.text)
          : h(
              line.kind ? `div.${line.kind}` : "div",
              null,
              h("i", null, line.old),
              h("i", null, line.now),
              h("s", null, SIGNS[line.kind], WORDS[line.kind] && h("span.sr", null, WORDS[line.kind])),
              h("span", null, ...painted(pieces[i])),
            ),
      ),
    );
    add(table, inner);
    body.replaceChildren(table);
    const note = clean(file?.note);
    if (all.length > limit || note)
      add(
        body,
        h(
          "div.more",
          null,
          h("span", null, note || `First ${count(limit)} of ${plural(all.length, "line")}`),
          all.length > limit && h("button.link", { type: "button", onclick: () => show(limit + MORE) }, "Show more"),
        ),
      );
  };
  show(FIRST);
  return body;
}

/** `+6 −1`, nothing where unknown. @param {unknown} added @param {unknown} removed */
export function counts(added, removed) {
  const [plus, minus] = [num(added), num(removed)];
  return h("span.pm", null, plus ? h("b.ok", null, `+${count(plus)}`) : null, minus ? h("b.err", null, `−${count(minus)}`) : null);
}
