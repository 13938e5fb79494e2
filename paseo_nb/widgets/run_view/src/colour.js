/** Syntax colours as elements: highlight.js reads the code, its tree is written out as text nodes. */

import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const LANGUAGES = {
  bash, c, cpp, css, diff, go, ini, java, javascript, json, markdown, python, r, ruby, rust, sql,
  typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** @type {Record<string, string>} by file ending or fence word, where highlight.js has no alias */
const ALIASES = Object.assign(Object.create(null), {
  ipynb: "json", jsonl: "json", pyi: "python", py3: "python", ipython: "python", toml: "ini", cfg: "ini",
  conf: "ini", env: "ini", svg: "xml", vue: "xml", mts: "typescript", cts: "typescript", mjs: "javascript",
  cjs: "javascript", hh: "cpp", hpp: "cpp", console: "bash", shell: "bash", dockerfile: "bash", makefile: "bash",
  scss: "css", less: "css",
});
const LIMIT = 20_000; // characters; more would hold up the page

/** What each kind of token looks like: the classes that run_view.css knows. */
const LOOKS = /** @type {Record<string, string>} */ ({
  keyword: "kw", built_in: "bi", type: "bi", literal: "kw", number: "nu", string: "str", regexp: "str",
  comment: "co", doctag: "co", title: "fn", function: "fn", attr: "at", attribute: "at", property: "at",
  meta: "me", symbol: "nu", name: "kw", tag: "kw", section: "fn", addition: "ok", deletion: "err",
  "selector-tag": "kw", "selector-class": "at", "selector-id": "at", variable: "va", "template-variable": "va",
  "char.escape": "nu", bullet: "kw", code: "str", link: "str", quote: "co",
});

/** @typedef {[string, string]} Piece text and its class */

/** @param {unknown} name @returns {string | null} */
function known(name) {
  const word = String(name).toLowerCase();
  const alias = ALIASES[word] ?? word;
  return /^[\w+#-]{1,20}$/.test(alias) && hljs.getLanguage(alias) ? alias : null;
}

/** @param {string} path */
export function languageOf(path) {
  const file = path.split(/[\\/]/).pop() ?? "";
  return known(file.includes(".") ? file.split(".").pop() : file);
}

/** @param {string} info the words behind a fence */
export const languageNamed = (info) => known(info.trim().split(/[\s,{:]/)[0]);

/** @param {any} node @param {string} look @param {Piece[]} out */
function flatten(node, look, out) {
  if (typeof node === "string") out.push([node, look]);
  else
    for (const child of node.children ?? []) {
      const scope = typeof child === "string" ? "" : String(child.scope ?? "");
      const own = Object.hasOwn(LOOKS, scope) ? LOOKS[scope] : (LOOKS[scope.split(".")[0]] ?? "");
      flatten(child, scope.startsWith("language:") || !own ? look : own, out);
    }
}

/** Code in pieces; one piece where the language is unknown or the code too long. @param {string} code @param {string | null} language @returns {Piece[]} */
export function colour(code, language) {
  if (!language || code.length > LIMIT) return [[code, ""]];
  try {
    const found = /** @type {any} */ (hljs.highlight(code, { language, ignoreIllegals: true }));
    /** @type {Piece[]} */
    const out = [];
    flatten(found._emitter.rootNode, "", out);
    return out.map((piece) => piece[0]).join("") === code ? out : [[code, ""]];
  } catch {
    return [[code, ""]];
  }
}

/** The same, by lines. @param {string} code @param {string | null} language @returns {Piece[][]} */
export function colourLines(code, language) {
  /** @type {Piece[][]} */
  const lines = [[]];
  for (const [text, look] of colour(code, language))
    text.split("\n").forEach((part, i) => {
      if (i) lines.push([]);
      if (part) lines[lines.length - 1].push([part, look]);
    });
  return lines;
}

/** @param {Piece[]} pieces @returns {Node[]} */
export const painted = (pieces) =>
  pieces.map(([text, look]) => {
    if (!look) return document.createTextNode(text);
    const span = document.createElement("span");
    span.className = look;
    span.textContent = text;
    return span;
  });
