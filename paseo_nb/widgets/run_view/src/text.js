/**
 * Agent text made harmless: the same rules as `widgets/render/text.py`.
 *
 * Terminal escapes and control characters go, characters that reorder text become visible. What
 * comes out is only ever put into text nodes; nothing in this folder uses innerHTML.
 */

const ESCAPES =
  // eslint-disable-next-line no-control-regex
  /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]/g;
const BREAKS = /\r\n?|[\u2028\u2029\x85\x0b\x0c]/g;
const REORDER = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const HIDDEN =
  /[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e0fff}]/gu;
const SURROGATE = /\p{Surrogate}/gu;
/** Anything that `clean` would change; most text has none of it. */
const SUSPECT =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]/;

/** @param {unknown} value @returns {string} */
export function str(value) {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return "";
}

/** @param {unknown} value @returns {any[]} */
export const list = (value) => (Array.isArray(value) ? value : []);

/** @param {unknown} value @returns {number | null} */
export const num = (value) => (typeof value === "number" && isFinite(value) ? value : null);

/** @param {string} text */
export const isPlain = (text) => !SUSPECT.test(text);

/** @param {unknown} value @returns {string} */
export function clean(value) {
  const text = str(value);
  if (isPlain(text)) return text;
  return text
    .replace(ESCAPES, "")
    .replace(BREAKS, "\n")
    .replace(HIDDEN, "")
    .replace(REORDER, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`)
    .replace(SURROGATE, "\ufffd");
}

/** Text on one line, cut with an ellipsis. @param {unknown} value */
export function oneLine(value, limit = 160) {
  const flat = clean(str(value).slice(0, limit * 8)).replace(/\s+/g, " ").trim();
  return flat.length <= limit ? flat : flat.slice(0, limit - 1).trimEnd() + "…";
}

/** What a terminal shows in the end: carriage returns overwrite. @param {string} text */
export function settle(text) {
  text = text.replace(/\r\n/g, "\n");
  if (!text.includes("\r")) return text;
  return text
    .split("\n")
    .map((line) => line.replace(/\r+$/, ""))
    .map((line) => line.slice(line.lastIndexOf("\r") + 1))
    .join("\n");
}

const WEB = /^https?:\/\/[^\s/\\?#<>"'`][^\s\\<>"'`]{0,1999}$/i;
const MAIL = /^mailto:[\w.+-]{1,64}@[\w.-]{1,200}$/i;
const BARE = /https?:\/\/[^\s/\\?#<>"'`()[\]*][^\s\\<>"'`]{2,500}/gi;

/** The address if a link may lead there. @param {unknown} value @returns {string | null} */
export function webUrl(value) {
  const url = str(value);
  return WEB.test(url) || MAIL.test(url) ? url : null;
}

/** Text in pieces, bare web addresses marked. @param {string} text @returns {[string, boolean][]} */
export function addresses(text) {
  /** @type {[string, boolean][]} */
  const out = [];
  let at = 0;
  for (const found of text.matchAll(BARE)) {
    let url = found[0].replace(/[.,;:!?*_'"]+$/, "");
    if (url.endsWith(")") && !url.includes("(")) url = url.replace(/[).,;:!?]+$/, "");
    if (!WEB.test(url)) continue;
    out.push([text.slice(at, found.index), false], [url, true]);
    at = found.index + url.length;
  }
  out.push([text.slice(at), false]);
  return out;
}
