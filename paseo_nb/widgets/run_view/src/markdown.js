/**
 * An agent's Markdown as elements.
 *
 * markdown-it reads it with raw HTML off; its tokens are written out here as nodes, so only the
 * elements below can appear. Links lead to http, https and mailto; others become text with their
 * target; images become links. While text streams in, only the last block is read again.
 */

import MarkdownIt from "markdown-it";
import { colour, languageNamed, painted } from "./colour.js";
import { add, h, icon } from "./dom.js";
import { addresses, clean, isPlain, str, webUrl } from "./text.js";

const parser = new MarkdownIt("commonmark", { html: false, maxNesting: 30 }).enable(["table", "strikethrough"]);
parser.validateLink = () => true; // judged where it is written
const MAX_BLOCK = 60_000; // a single block above this is shown as it is
const WINDOW = 48_000; // characters of a very long text that are shown at first

/** @type {Record<string, string>} */
const TAGS = {
  paragraph: "p", blockquote: "blockquote", bullet_list: "ul", ordered_list: "ol", list_item: "li",
  table: "table", thead: "thead", tbody: "tbody", tr: "tr", th: "th", td: "td",
};
const INLINE = new Set(["strong", "em", "s"]);

/** @param {any[]} tokens @param {Node} into */
function blocks(tokens, into) {
  /** @type {Node[]} */
  const stack = [into];
  const top = () => stack[stack.length - 1];
  for (const token of tokens) {
    const name = token.type.replace(/_(open|close)$/, "");
    if (token.type === "inline") inline(token.children ?? [], top());
    else if (token.type === "fence" || token.type === "code_block") add(top(), code(token));
    else if (token.type === "hr") add(top(), h("hr"));
    else if (name === "heading" || (Object.hasOwn(TAGS, name) && !(name === "paragraph" && token.hidden))) {
      if (token.nesting < 0) {
        stack.pop();
        continue;
      }
      const node =
        name === "heading"
          ? h("p.hd", { role: "heading", "aria-level": Math.min(Number(token.tag[1]) + 2 || 6, 6) })
          : h(TAGS[name]);
      if (name === "ordered_list" && token.attrGet("start")) node.setAttribute("start", String(Number(token.attrGet("start")) || 1));
      if (name === "table") add(top(), h("div.tbl", { tabindex: 0, role: "region", "aria-label": "Table" }, node));
      else add(top(), node);
      stack.push(node);
    }
  }
}

/** @param {any} token */
function code(token) {
  const text = token.content.replace(/\n$/, "");
  return h("div.code", null, h("pre", { tabindex: 0 }, h("code", null, ...painted(colour(text, languageNamed(token.info ?? ""))))), copying(() => text));
}

/** A button that copies. @param {() => string} text */
export function copying(text) {
  const word = h("span.sr", null, "Copy");
  const button = h("button.btn.quiet.copy", { type: "button", title: "Copy", onclick: () => {
    navigator.clipboard?.writeText(text()).then(() => {
      word.textContent = "Copied";
      button.classList.add("did");
      setTimeout(() => { word.textContent = "Copy"; button.classList.remove("did"); }, 1500);
    }, () => undefined);
  } }, icon("copy", "s12"), word);
  return button;
}

/** @param {any[]} tokens @param {Node} into */
function inline(tokens, into) {
  /** @type {Node[]} */
  const stack = [into];
  /** @type {string[]} */
  const targets = []; // of open links that lead nowhere
  const top = () => stack[stack.length - 1];
  for (const token of tokens) {
    const { type, tag, nesting } = token;
    if (type === "code_inline") add(top(), h("code", null, token.content));
    else if (type === "softbreak") add(top(), "\n");
    else if (type === "hardbreak") add(top(), h("br"));
    else if (type === "image") add(top(), image(token, stack.some((n) => /** @type {Element} */ (n).tagName === "A")));
    else if (type === "link_open") {
      const target = str(token.attrGet("href"));
      const url = webUrl(target);
      const node = url ? anchor(url) : h("span");
      targets.push(url || token.info === "auto" ? "" : target.slice(0, 200));
      add(top(), node);
      stack.push(node);
    } else if (type === "link_close") {
      stack.pop();
      const target = targets.pop();
      if (target) add(top(), " (", h("code", null, clean(target)), ")");
    } else if (INLINE.has(tag) && nesting) {
      if (nesting < 0) stack.pop();
      else {
        const node = h(tag);
        add(top(), node);
        stack.push(node);
      }
    } else if (token.content)
      for (const [piece, is] of stack.some((n) => /** @type {Element} */ (n).tagName === "A") ? [[token.content, false]] : addresses(token.content))
        add(top(), is ? anchor(piece, piece) : piece);
  }
}

/** @param {string} url @param {...any} kids */
export const anchor = (url, ...kids) =>
  h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow", title: url.slice(0, 300) }, ...kids);

/** @param {any} token @param {boolean} nested */
function image(token, nested) {
  const label = token.content ? `[image: ${token.content.slice(0, 200)}]` : "[image]";
  const url = webUrl(token.attrGet("src"));
  return url && !nested ? anchor(url, label) : h("span", null, label);
}

/** Markdown as block elements, at once. @param {string} text cleaned @param {Record<string, any>} [env] the link definitions so far @returns {Node[]} */
function render(text, env = {}) {
  const part = document.createDocumentFragment();
  if (text.length > MAX_BLOCK) add(part, h("pre.plain", null, text));
  else
    try {
      blocks(parser.parse(text, env), part);
    } catch {
      part.replaceChildren(h("pre.plain", null, text));
    }
  return [...part.childNodes];
}

/** Where the last block of a text begins, by its lines; 0 where all of it is one. @param {string} text */
function lastBlock(text) {
  if (text.length > MAX_BLOCK * 2) {
    const at = text.lastIndexOf("\n\n", text.length - MAX_BLOCK);
    return at > 0 ? at + 2 : 0;
  }
  let line = 0;
  for (const token of parser.parse(text, {})) if (token.level === 0 && token.map && token.nesting >= 0) line = token.map[0];
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf("\n", at) + 1;
  return at;
}

/** A Markdown text that may grow: blocks that are complete stay as they are. */
export class Growing {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.read = 0; // characters of the raw text that `text` holds
    this.text = "";
    this.closed = 0; // up to where blocks are complete
    /** @type {Node[]} the nodes of the open block */
    this.tail = [];
    this.shown = WINDOW;
    this.start = 0; // where the later part of a very long text begins
    this.raw = "";
    this.env = /** @type {Record<string, any>} */ ({});
    this.open = "";
    this.tipped = /** @type {Element | null} */ (null);
  }

  /** @param {string} raw the whole text as it stands */
  update(raw) {
    const added = raw.length > this.read && raw.startsWith(this.raw) ? raw.slice(this.read) : null;
    if (added !== null && isPlain(added) && isPlain(this.raw.slice(-200))) this.text += added;
    else if (raw !== this.raw || !this.read) {
      const text = clean(raw);
      if (!text.startsWith(this.text) || this.read === 0) this.restart(text);
      this.text = text;
    } else return;
    this.raw = raw;
    this.read = raw.length;
    this.write();
  }

  /** @param {string} text */
  restart(text) {
    this.el.replaceChildren();
    this.env = {};
    this.tail = [];
    this.closed = 0;
    if (text.length <= this.shown * 1.25) return;
    const half = this.shown / 2;
    const head = text.lastIndexOf("\n", half);
    const end = head > half / 2 ? head + 1 : half;
    const begin = text.indexOf("\n", text.length - half);
    this.closed = begin > 0 && begin < text.length - half / 2 ? begin + 1 : text.length - half;
    const left = this.closed - end;
    const fences = text.slice(0, this.closed).match(/^ {0,3}(```|~~~)/gm)?.length ?? 0;
    add(this.el, render(text.slice(0, end), this.env), h("button.btn.gap", { type: "button", onclick: () => {
      this.shown += 200_000;
      this.restart(this.text);
      this.write();
    } }, `${left.toLocaleString("en-US")} characters are left out here. Show more`));
    if (fences % 2) this.open = "```\n";
    else this.open = "";
  }

  /** Marks where the text goes on. */
  tip() {
    let node = this.el.lastElementChild;
    while (node && /^(UL|OL|LI|BLOCKQUOTE)$/.test(node.tagName) && node.lastElementChild && (node.tagName !== "LI" || /^(UL|OL|P)$/.test(node.lastElementChild.tagName)))
      node = node.lastElementChild;
    if (node === this.tipped) return;
    this.tipped?.classList.remove("tip");
    node?.classList.toggle("tip", /^(P|LI)$/.test(node.tagName));
    this.tipped = node;
  }

  write() {
    const rest = this.open + this.text.slice(this.closed);
    for (const node of this.tail) /** @type {ChildNode} */ (node).remove();
    const at = lastBlock(rest);
    if (at > this.open.length) {
      add(this.el, render(rest.slice(0, at), this.env));
      this.closed += at - this.open.length;
      this.open = "";
    }
    this.tail = render(rest.slice(at), { references: { ...this.env.references } }); // what is being written may change yet
    add(this.el, this.tail);
  }
}
