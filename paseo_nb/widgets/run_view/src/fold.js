/** What a row knows of its view, and folds that remember what the reader did. */

import { h } from "./dom.js";

/**
 * What rows know of their view.
 * @typedef {object} Scene
 * @property {import("./store.js").Store} store
 * @property {Map<string, boolean>} opened what the reader folded or unfolded, by row and part
 * @property {Map<number, any>} whole calls that were asked for in full
 * @property {(row: number) => void} touched the reader changed a row's height
 * @property {(row: number) => boolean} isLast
 */

/** A fold that remembers what the reader did. @param {Scene} scene @param {number} i @param {string} name @param {boolean} open @param {() => void} [fill] called when first opened */
export function fold(scene, i, name, open, fill) {
  const key = `${i}/${name}`;
  const details = h("details");
  details.open = scene.opened.get(key) ?? open;
  details.addEventListener("toggle", () => details.open && fill?.());
  details.addEventListener("click", (/** @type {Event} */ e) => {
    const summary = /** @type {Element} */ (e.target).closest("summary");
    if (summary?.parentElement !== details || e.defaultPrevented) return;
    scene.opened.set(key, !details.open); // it turns after this
    scene.touched(i);
  });
  return details;
}
