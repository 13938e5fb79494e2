/** Terminal output: bold and the sixteen colours become classes, every other escape goes. */

import { h } from "./dom.js";
import { clean, settle } from "./text.js";

const SGR = /(?:\x1b\[|\x9b)([0-9;:]*)m/;
const MAX_SPANS = 4000;
const CHUNK = 200; // lines per element: those out of sight cost no layout

/** @typedef {{bold: boolean, colour: string}} Pen */

/** @param {string} codes @param {Pen} pen */
function applied(codes, pen) {
  const numbers = codes.slice(0, 64).split(";").map((code) => (/^\d+$/.test(code) ? Number(code) : 0));
  while (numbers.length) {
    const number = /** @type {number} */ (numbers.shift());
    if (number === 0) Object.assign(pen, { bold: false, colour: "" });
    else if (number === 1 || number === 22) pen.bold = number === 1;
    else if (number === 38 || number === 48) numbers.splice(0, numbers[0] === 5 ? 2 : numbers[0] === 2 ? 4 : 1);
    else if (number === 39) pen.colour = "";
    else if ((number >= 30 && number <= 37) || (number >= 90 && number <= 97)) pen.colour = `a${number % 10}`;
  }
}

/** Output as nodes. @param {string} text @returns {Node[]} */
export function terminal(text) {
  const pieces = settle(text).split(SGR);
  if (pieces.length === 1 || pieces.length > 2 * MAX_SPANS) {
    const plain = clean(pieces.filter((_, i) => i % 2 === 0).join(""));
    return chunks(plain).map((part) => part);
  }
  /** @type {Pen} */
  const pen = { bold: false, colour: "" };
  /** @type {Node[]} */
  const out = [];
  pieces.forEach((piece, i) => {
    if (i % 2) return applied(piece, pen);
    const shown = clean(piece);
    if (!shown) return;
    const look = `${pen.bold ? "b" : ""} ${pen.colour}`.trim();
    out.push(look ? h(`span.${look.replace(" ", ".")}`, null, shown) : document.createTextNode(shown));
  });
  return out;
}

/** @param {string} text @returns {Node[]} */
function chunks(text) {
  const lines = text.split("\n");
  if (lines.length <= CHUNK * 2) return [document.createTextNode(text)];
  const out = [];
  for (let i = 0; i < lines.length; i += CHUNK) out.push(h("div.chunk", null, lines.slice(i, i + CHUNK).join("\n")));
  return out;
}
