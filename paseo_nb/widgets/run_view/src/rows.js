/** One row of a run as an element: prompt, text, thought, plan, call, answered question, note. */

import { Call } from "./call.js";
import { add, coded, h, icon, say } from "./dom.js";
import { fold } from "./fold.js";
import { Growing } from "./markdown.js";
import { clean, list, num, oneLine, str } from "./text.js";
import { count } from "./units.js";

/** @typedef {import("./fold.js").Scene} Scene */

/** @param {Scene} scene @param {number} i @returns {import("./list.js").Part} */
export function rowPart(scene, i) {
  const row = scene.store.rows[i];
  const Kind = KINDS[/** @type {keyof typeof KINDS} */ (kindOf(row))];
  /** @type {{el: HTMLElement, update: (row: any) => void, close?: () => void}} */
  let part = new Kind(scene, i);
  let kind = kindOf(row);
  const el = h("div.u", null, part.el);
  part.update(row);
  return {
    el,
    update() {
      const now = scene.store.rows[i];
      if (kindOf(now) !== kind) {
        part.close?.();
        kind = kindOf(now);
        part = new KINDS[/** @type {keyof typeof KINDS} */ (kind)](scene, i);
        el.replaceChildren(part.el);
      }
      part.update(now);
    },
    close: () => part.close?.(),
  };
}

/** @param {any} row */
const kindOf = (row) => (row && typeof row === "object" && Object.hasOwn(KINDS, str(row.k)) ? str(row.k) : "unknown");

/** How high a row will about be, before it was ever in the page. @param {any} row @param {any} before */
export function guess(row, before) {
  if (!row?.k) return 0;
  return height(row) + (before?.k === "call" && row.k === "call" ? 0 : 12);
}

/** @param {any} row */
function height(row) {
  const text = (/** @type {unknown} */ value, width = 84, line = 22) => {
    const all = str(value);
    return Math.min(all.length / width + (all.length < 20_000 ? all.split("\n").length : all.length / 60) * 0.6 + 0.6, 3000) * line;
  };
  switch (kindOf(row)) {
    case "prompt": return 28 + text(row.text, 110, 19) + (list(row.pictures).length ? 128 : 0);
    case "text": return 12 + text(row.text);
    case "plan": return 48 + list(row.entries).length * 22;
    case "call": {
      if (!row.open) return 29;
      const lines = list(row.diffs).reduce((sum, file) => sum + Math.min(list(file?.lines).length, 120) * 18.6 + 10, 0);
      return 29 + lines + (row.output ? 16 + Math.min(str(row.output).split("\n").length, 13) * 18 : 0);
    }
    case "note": return 60;
    default: return 32;
  }
}

class Prompt {
  /** @param {Scene} scene @param {number} i */
  constructor(scene, i) {
    this.scene = scene;
    this.i = i;
    this.el = h("div.prompt");
  }

  /** @param {any} row */
  update(row) {
    const text = clean(row.text);
    const label = oneLine(row.label, 60);
    const all = this.scene.opened.get(`${this.i}/all`) ?? false;
    const lines = text.split("\n");
    const long = lines.length > 12 || text.length > 1500;
    const shown = long && !all ? lines.slice(0, 12).join("\n").slice(0, 1500).trimEnd() + " …" : text;
    this.el.replaceChildren(
      icon("prompt"),
      h(
        "div.grow",
        null,
        label && label !== "Prompt" ? h("div.cap", null, label) : h("span.sr", null, "Prompt"),
        h("p.said", null, ...coded(shown)),
        pictures(row),
        long &&
          h("button.link", { type: "button", "aria-expanded": String(all), onclick: () => {
            this.scene.opened.set(`${this.i}/all`, !all);
            this.scene.touched(this.i);
            this.update(row);
          } }, all ? "Show less" : `Show all ${count(lines.length)} lines`),
      ),
    );
  }
}

/** A picture's data, of a kind that is no document; anything else is not shown. */
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+=*$/;

/** @param {any} row */
function pictures(row) {
  const shown = list(row.pictures).filter((one) => PICTURE.test(str(one?.[1])));
  return shown.length > 0 && h("div.pictures", null, ...shown.map(([name, uri]) => {
    const told = oneLine(name, 200);
    return h("img", { src: uri, alt: told, title: told });
  }));
}

class Text {
  /** @param {Scene} scene @param {number} i */
  constructor(scene, i) {
    this.scene = scene;
    this.i = i;
    this.el = h("div.md");
    this.growing = new Growing(this.el);
    this.more = /** @type {any} */ (null);
    this.last = 0;
    this.cost = 0;
    this.timer = 0;
  }

  /** A text that is slow to read is read at most every 100 ms. @param {any} row */
  update(row) {
    this.el.classList.toggle("live", this.scene.store.busy && this.scene.isLast(this.i));
    const now = performance.now();
    if (this.cost > 8 && now - this.last < 100) {
      this.timer ||= window.setTimeout(() => {
        this.timer = 0;
        this.update(this.scene.store.rows[this.i]);
      }, 110);
      return;
    }
    const whole = this.scene.whole.get(this.i);
    this.growing.update(str(whole?.text ?? row.text));
    this.growing.tip();
    const cut = num(row.cut);
    if (cut !== null && !whole && !this.more) this.el.after((this.more = cutLine(this.scene, this.i, cut)));
    if (whole && this.more) this.more = this.more.remove();
    this.last = performance.now();
    this.cost = this.last - now;
  }

  close() {
    clearTimeout(this.timer);
  }
}

/** Says that a text is longer than what came, and gets the rest. @param {Scene} scene @param {number} i @param {number} length */
function cutLine(scene, i, length) {
  const button = h("button.link", { type: "button", onclick: async () => {
    button.disabled = true;
    scene.whole.set(i, await scene.store.more(i));
    scene.touched(i);
    scene.store.tell("onRow", i);
  } }, "Show all");
  return h("div.more", null, h("span", null, `Cut; ${count(length)} characters in all`), button);
}

class Thought {
  /** @param {Scene} scene @param {number} i */
  constructor(scene, i) {
    this.label = document.createTextNode("");
    this.tokens = h("span.f3");
    this.text = h("div.md.small");
    this.growing = new Growing(this.text);
    this.row = /** @type {any} */ (null);
    this.el = fold(scene, i, "", false, () => this.fill());
    this.el.className = "reason";
    add(this.el, h("summary", null, icon("chev", "s12 chev"), this.label, this.tokens), this.text);
  }

  fill() {
    if (this.row) this.growing.update(str(this.row.text));
  }

  /** @param {any} row */
  update(row) {
    this.row = row;
    say(this.label, oneLine(row.label, 80) || "Thought");
    const tokens = num(row.tokens);
    say(this.tokens, tokens === null ? "" : `${count(tokens)} tokens`);
    if (this.el.open) this.fill();
  }
}

const STEPS = /** @type {Record<string, [string, string, string]>} */ ({
  completed: ["done", "done", "Done"],
  in_progress: ["running", "now", "In progress"],
  pending: ["queued", "", "Not begun"],
});

class Plan {
  /** @param {Scene} scene */
  constructor(scene) {
    this.scene = scene;
    this.el = h("section.plan", { "aria-label": "Plan" });
  }

  /** @param {any} row */
  update(row) {
    const entries = list(row.entries).slice(0, 200).map((entry) => list(entry));
    const done = entries.filter((entry) => entry[0] === "completed").length;
    this.el.replaceChildren(
      h("header", null, icon("plan"), h("span.b", null, "Plan"), h("span", null, `${done} of ${entries.length}`)),
      h("ol", null, entries.map(([status, text]) => {
        const [shape, look, word] = Object.hasOwn(STEPS, str(status)) ? STEPS[str(status)] : STEPS.pending;
        const turns = shape === "running" && this.scene.store.busy;
        return h(look ? `li.${look}` : "li", null, h(`span.state.st-${shape}`, null, icon(shape, turns ? "spin" : ""), h("span.sr", null, word)), h("span", null, ...coded(clean(text).slice(0, 2000))));
      })),
    );
  }
}

const STYLES = /** @type {Record<string, string>} */ ({
  "": "span", strong: "span.b", code: "code", more: "b.ok", less: "b.err", ok: "span.ok", now: "span.acc",
  warn: "span.warn", bad: "span.err", quiet: "span.f2",
});

/** @param {any} spans @returns {Node[]} */
const spanned = (spans) =>
  list(spans).slice(0, 60).map((span) => {
    const style = str(span?.[0]);
    return h(Object.hasOwn(STYLES, style) ? STYLES[style] : "span", null, clean(span?.[1]));
  });

class Answered {
  constructor() {
    this.el = h("div.answered");
  }

  /** @param {any} row */
  update(row) {
    this.el.replaceChildren(icon("waiting", "s12"), h("p", null, ...spanned(row.spans)));
  }
}

class Note {
  constructor() {
    this.el = h("div");
  }

  /** @param {any} row */
  update(row) {
    this.el.replaceChildren(noteBox(row, "boxed"));
  }
}

/** What happened and what to do, in a box. @param {any} row @param {string} [more] */
export function noteBox(row, more = "") {
  const bad = row?.tone === "bad";
  const shape = str(row?.shape) || "warn";
  return h(
    `div.note.${bad ? "bad" : "hold"}${more ? `.${more}` : ""}`,
    { role: "note" },
    h(`span.${bad ? "err" : "warn"}`, null, icon(shape)),
    h("div.grow", null, h("p.b.said", null, ...coded(str(row?.text).slice(0, 4000))), row?.hint ? h("p.said", null, ...coded(str(row.hint).slice(0, 4000))) : null),
  );
}

/** A row that shows nothing (yet), or a kind that this version does not know. */
class Unknown {
  constructor() {
    this.el = h("div.f2.t12");
  }

  /** @param {any} row */
  update(row) {
    say(this.el, oneLine(row?.text, 400));
  }
}

const KINDS = { prompt: Prompt, text: Text, thought: Thought, plan: Plan, call: Call, answered: Answered, note: Note, unknown: Unknown };
