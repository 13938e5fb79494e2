/** Elements without HTML: names and attributes are ours, everything else becomes a text node. */

import { clean } from "./text.js";

/** @typedef {any} Kid a node, a text, a number, or (nested) lists of them; null and false are nothing */

/**
 * `h("div.row.bad", {onclick}, "text", node)`; attributes that are null or false are left out.
 * @param {string} spec
 * @param {Record<string, any> | null} [props]
 * @param {...Kid} kids
 * @returns {any}
 */
export function h(spec, props, ...kids) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const name in props) {
    const value = props[name];
    if (value == null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "disabled" || name === "open") /** @type {any} */ (node)[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return add(node, ...kids);
}

/** @template {Node} T @param {T} node @param {...Kid} kids @returns {T} */
export function add(node, ...kids) {
  for (const kid of kids.flat(9)) {
    if (kid == null || kid === false) continue;
    node.appendChild(kid instanceof Node ? kid : document.createTextNode(String(kid)));
  }
  return node;
}

/** Writes a text only where it changed: no layout for nothing. @param {any} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} node @param {string} name @param {string | null} value */
export function attr(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** The page's shortcuts stop at this element; the one that saves is passed on. @param {HTMLElement} el */
export function letSave(el) {
  el.addEventListener("keydown", (e) => {
    if (e.key.toLowerCase() !== "s" || !(e.ctrlKey || e.metaKey) || e.altKey || e.shiftKey) return;
    const { key, code, keyCode, ctrlKey, metaKey } = e;
    const again = new KeyboardEvent("keydown", /** @type {any} */ ({ key, code, keyCode, ctrlKey, metaKey, bubbles: true, cancelable: true }));
    el.parentElement?.dispatchEvent(again);
    if (again.defaultPrevented) e.preventDefault();
  });
}

/** A textarea as high as its text. @param {HTMLTextAreaElement} area */
export function grow(area, most = 180) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + area.offsetHeight - area.clientHeight, most)}px`;
}

/** Text with its `backticked` pieces as code. @param {unknown} text @returns {Node[]} */
export function coded(text) {
  return clean(text)
    .split(/`([^`\n]+)`/)
    .map((piece, i) => (i % 2 ? h("code", null, piece) : document.createTextNode(piece)));
}

const SVG = "http://www.w3.org/2000/svg";
/** 16 grid, 1.5 stroke. `f` fills, `b` draws in the ground's colour, `o` fades, `w` is heavier. */
const ICONS = /** @type {Record<string, (string | [string, string])[]>} */ ({
  chev: ["M6 4l4 4-4 4"],
  down: ["M4 6l4 4 4-4"],
  queued: [["M8 2.25a5.75 5.75 0 1 0 0 11.5a5.75 5.75 0 1 0 0-11.5", "d"]],
  running: [["M8 2.25a5.75 5.75 0 1 0 0 11.5a5.75 5.75 0 1 0 0-11.5", "o"], ["M8 2.25A5.75 5.75 0 0113.75 8", "w"]],
  waiting: [["M8 1.5L14.5 8 8 14.5 1.5 8z", "f"], ["M8 5v3.4M8 10.9v.05", "b"]],
  done: ["M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12", "M5.25 8.25l2 2 3.5-4"],
  failed: [["M5.5 1.75h5l3.75 3.75v5l-3.75 3.75h-5L1.75 10.5v-5z", "f"], ["M5.75 5.75l4.5 4.5M10.25 5.75l-4.5 4.5", "b"]],
  interrupted: ["M6 2.4A6 6 0 006 13.6M10 2.4A6 6 0 0110 13.6M8.9 4L7 8h2.4L7.4 12"],
  stopped: ["M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12", ["M6 6h4v4H6z", "f"]],
  stop: [["M5 4h6a1 1 0 011 1v6a1 1 0 01-1 1H5a1 1 0 01-1-1V5a1 1 0 011-1z", "f"]],
  play: ["M5 3.25l7.5 4.75L5 12.75z"],
  again: ["M3 8a5 5 0 015-5c2 0 3.5 1 4.5 2.5M13 2.5v3h-3M13 8a5 5 0 01-5 5c-2 0-3.5-1-4.5-2.5M3 13.5v-3h3"],
  branch: ["M3 3.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0", "M3 12.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0", "M10 5.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0", "M4.5 5v6M11.5 7c0 2.75-3 2.75-7 4"],
  prompt: ["M2.5 3h11v7.5h-6L4.75 13v-2.5H2.5z"],
  plan: ["M2 4.25l1.25 1.25 2-2.25M2 11l1.25 1.25 2-2.25M8 4.5h6M8 11.25h6"],
  warn: ["M8 2l6.25 11.5H1.75z", "M8 6.5v3.25M8 11.7v.05"],
  read: ["M4 1.75h5.25L12.5 5v9.25H4z", "M9.25 1.75V5h3.25M6.25 8.5h4M6.25 11h2.5"],
  edit: ["M10.75 2.5l2.75 2.75L5.75 13H3v-2.75z"],
  delete: ["M3 4.25h10M6 4.25V2.5h4v1.75M4.25 4.25l.6 9.25h6.3l.6-9.25M6.75 7v4M9.25 7v4"],
  move: ["M2.5 8h10M9.25 4.5L12.75 8l-3.5 3.5"],
  search: ["M2.75 7a4.25 4.25 0 1 0 8.5 0a4.25 4.25 0 1 0-8.5 0", "M10.25 10.25L14 14"],
  execute: ["M3.25 2.75h9.5a1.5 1.5 0 011.5 1.5v7.5a1.5 1.5 0 01-1.5 1.5h-9.5a1.5 1.5 0 01-1.5-1.5v-7.5a1.5 1.5 0 011.5-1.5z", "M4.5 6l2.25 2-2.25 2M8.75 10.25h2.75"],
  fetch: ["M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12", "M2 8h12M8 2c-4 3.5-4 8.5 0 12M8 2c4 3.5 4 8.5 0 12"],
  think: ["M5.75 11.25c0-1.5-2-2-2-4.75a4.25 4.25 0 018.5 0c0 2.75-2 3.25-2 4.75zM6.25 13.75h3.5"],
  switch_mode: ["M3 5.25h9M9.5 2.75l2.5 2.5-2.5 2.5M13 10.75H4M6.5 8.25L4 10.75l2.5 2.5"],
  other: ["M9.75 5.25a3 3 0 013.9-2.85L11.5 4.55l.6 1.35 1.4.6 2.1-2.1a3 3 0 01-3.95 3.85l-5.4 5.4a1.6 1.6 0 01-2.3-2.3l5.4-5.4a3 3 0 01.4-.7z"],
  queue: ["M2.5 4h11M2.5 8h6M11.5 7.5v5.5M9.25 10.75l2.25 2.25 2.25-2.25"],
  steer: ["M3 13.5C3 8.5 6 6.5 12.5 6.5M9.5 3.25l3.25 3.25L9.5 9.75"],
  interrupt: ["M5.5 3.5v9M10.5 3.5v9"],
  trace: ["M2 3.5h6M5 8h5.5M9 12.5h5"],
  diff: ["M8 2.5v6M5 5.5h6M5 12.5h6"],
  tail: ["M8 3v9.5M4 8.75l4 4 4-4"],
  copy: ["M5.5 5.5h7.75v7.75H5.5z", "M10.5 5.5V2.75H2.75v7.75H5.5"],
  pending: [["M8 2.25a5.75 5.75 0 1 0 0 11.5a5.75 5.75 0 1 0 0-11.5", "o"]],
});

/** @param {string} name @param {string} [more] classes @returns {Element} */
export function icon(name, more = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `ic ${more}`.trim());
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const part of Object.hasOwn(ICONS, name) ? ICONS[name] : ICONS.other) {
    const [d, how] = typeof part === "string" ? [part, ""] : part;
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    if (how) path.setAttribute("class", `ic-${how}`);
    svg.appendChild(path);
  }
  return svg;
}

/** A state's shape. @param {string} shape */
export function shapeIcon(shape) {
  const known = ["queued", "running", "waiting", "done", "failed", "interrupted", "stopped"];
  const name = known.includes(shape) ? shape : "queued";
  return h(`span.state.st-${name}`, null, icon(name, name === "running" ? "spin" : ""));
}
