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
  let quiet = details.open ? 1 : 0; // setting it makes an event, too
  details.addEventListener("toggle", () => {
    if (details.open) fill?.();
    if (quiet-- > 0) return;
    quiet = 0;
    scene.opened.set(key, details.open);
  });
  return details;
}
