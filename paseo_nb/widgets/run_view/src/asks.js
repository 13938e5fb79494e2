/** Questions that wait for an answer. They never take the focus; 1 2 3 count only where they have it. */

import { diffBody } from "./diff.js";
import { add, coded, grow, h, icon, say } from "./dom.js";
import { SLOW, whyNot } from "./head.js";
import { clean, list, num, oneLine, str } from "./text.js";
import { clock } from "./units.js";

const ORDER = ["allow_once", "allow_always", "reject_once", "reject_always"];
const WORDS = /** @type {Record<string, string>} */ ({
  allow_once: "Allow once", allow_always: "Allow always", reject_once: "Deny…", reject_always: "Deny always",
});
const GONE_MS = 6000; // how long a question's end is told

class Ask {
  /** @param {any} ask @param {Asks} owner */
  constructor(ask, owner) {
    this.ask = ask;
    this.owner = owner;
    this.store = owner.store;
    this.answering = false;
    this.age = h("span.r");
    this.note = h("span.t12.f2.why", { role: "status" });
    this.subject = this.subjectBox();
    this.acts = h("div.acts");
    const id = `pn-ask-${owner.name}-${owner.serial++}`;
    this.el = h(
      "section.ask",
      { role: "alertdialog", "aria-labelledby": id, tabindex: 0, onkeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) },
      h("header", null, h("span.state.st-waiting", null, icon("waiting"), h("span.sr", null, "Waiting for you")), h("span.b", { id }, oneLine(ask.question, 200) || "Allow this?"), this.age),
      ask.why ? h("p.t12.f2.said", null, ...coded(str(ask.why).slice(0, 2000))) : null,
      this.subject,
      list(ask.diffs).length ? h("div.ask-diffs", null, list(ask.diffs).slice(0, 20).map((file) => [h("div.cap.lbl.mono", null, oneLine(file?.path, 200)), diffBody(file)])) : null,
      this.acts,
    );
    this.options = list(ask.options)
      .filter((one) => one && typeof one === "object")
      .slice(0, 9)
      .sort((a, b) => rank(a) - rank(b));
    if (!this.options.length) this.options.push({ kind: "allow_once" });
    this.choices();
    this.tick();
  }

  get edited() {
    return this.subject?.tagName === "TEXTAREA" && this.subject.value !== clean(this.ask.subject);
  }

  subjectBox() {
    const text = clean(this.ask.subject);
    const [diff, ...others] = list(this.ask.diffs);
    if (!text || (diff && !others.length && text === clean(diff?.path))) return null; // the change tells it
    if (this.ask.editable !== true) return h("pre.term.subject", null, text.slice(0, 20_000));
    const box = h("textarea", { rows: 1, spellcheck: "false", autocomplete: "off", "aria-label": "Input, editable", value: text });
    box.addEventListener("input", () => {
      grow(box, 200);
      say(this.note, this.edited ? "Edited: kept beside the original" : "");
    });
    requestAnimationFrame(() => grow(box, 200));
    return box;
  }

  choices() {
    const kinds = this.options.map((one) => one.kind);
    const buttons = this.options.map((one, i) => {
      const kind = ORDER.includes(one.kind) ? one.kind : "";
      const alone = kinds.filter((other) => other === one.kind).length === 1;
      const name = oneLine(one.name || one.id, 60);
      const plain = alone && (kind === "allow_once" || kind === "reject_once");
      const face = kind && (plain || !name) ? [WORDS[kind]] : coded(kind.startsWith("reject") ? `${name}…` : name || "Answer");
      const look = i === 0 && kind.startsWith("allow") ? ".pri" : kind.startsWith("reject") ? ".danger" : "";
      return h(
        `button.btn${look}`,
        { type: "button", title: name, "data-kind": kind, onclick: () => (kind.startsWith("reject") ? this.reason(one) : this.answer("allow", one.id ? { option: one.id } : {})) },
        h("span.cut", null, ...face),
        h("kbd", { "aria-hidden": "true" }, i + 1),
      );
    });
    if (!this.options.some((one) => str(one.kind).startsWith("reject")))
      buttons.push(h("button.btn.danger", { type: "button", "data-kind": "reject_once", onclick: () => this.reason(null) }, "Deny…", h("kbd", { "aria-hidden": "true" }, buttons.length + 1)));
    const why = whyNot(this.store.head.can, "edit_input");
    if (!this.note.textContent && why && this.ask.editable !== true) say(this.note, oneLine(why, 200));
    this.acts.replaceChildren(...buttons, h("span.grow"), this.note);
  }

  /** The reason is asked in place, where one may be given. @param {any} option */
  reason(option) {
    if (this.ask.plain === true) return void this.answer("deny", option ? { option: option.id } : {});
    const field = h("input.field.grow", { type: "text", placeholder: "Reason, for the agent (may be empty)", "aria-label": "Reason", maxlength: 2000 });
    const deny = () => this.answer("deny", { reason: field.value.trim(), ...(option ? { option: option.id } : {}) });
    const back = () => {
      this.choices();
      this.el.focus({ preventScroll: true });
    };
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => {
      if (e.key === "Enter" && !e.isComposing) deny();
      else if (e.key === "Escape") back();
      else return;
      e.preventDefault();
      e.stopPropagation();
    });
    this.acts.replaceChildren(
      field,
      h("button.btn.danger", { type: "button", onclick: deny }, "Deny"),
      h("button.btn.quiet", { type: "button", onclick: back }, "Back"),
      this.note,
    );
    field.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const target = /** @type {HTMLElement} */ (e.target);
    if (e.ctrlKey || e.metaKey || e.altKey || /^(TEXTAREA|INPUT|SELECT)$/.test(target.tagName)) return;
    const button = /^[1-9]$/.test(e.key) ? this.acts.querySelectorAll("button[data-kind]")[Number(e.key) - 1] : null;
    if (!button) return;
    e.preventDefault();
    e.stopPropagation();
    /** @type {HTMLElement} */ (button).click();
  }

  /** @param {string} verb @param {Record<string, unknown>} fields */
  async answer(verb, fields) {
    if (this.answering) return;
    this.answering = true;
    this.owner.mine.add(str(this.ask.id));
    for (const one of this.el.querySelectorAll("button, textarea, input")) one.disabled = true;
    say(this.note, verb === "allow" ? "Allowing…" : "Denying…");
    if (verb === "allow" && this.edited) fields.input = this.subject.value;
    const answer = await this.store.act(verb, { permission: this.ask.id, ...fields }, () => say(this.note, SLOW));
    if (answer.ok) return;
    this.answering = false;
    this.owner.mine.delete(str(this.ask.id));
    for (const one of this.el.querySelectorAll("button, textarea, input")) one.disabled = false;
    this.choices();
    this.note.replaceChildren(h("span.err", null, oneLine(answer.said, 300) || "That did not work."));
  }

  tick() {
    const asked = num(this.ask.asked_us);
    say(this.age, asked === null ? "" : `asked ${clock((this.store.now_us() - asked) / 1e6)} ago`);
  }
}

/** @param {any} option */
const rank = (option) => (ORDER.indexOf(option.kind) + ORDER.length + 1) % (ORDER.length + 1);

export class Asks {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.name = store.name;
    this.serial = 0;
    /** @type {Map<string, Ask>} */
    this.shown = new Map();
    /** @type {Set<string>} answered in this view */
    this.mine = new Set();
    this.el = h("div.rv-asks", { "aria-live": "polite" });
  }

  /** @param {Record<string, any>} gone what became of questions that closed */
  update(gone = {}) {
    const asks = this.store.frozen ? [] : this.store.asks.filter((ask) => ask && typeof ask === "object");
    const open = new Set(asks.map((ask) => str(ask.id)));
    for (const [id, shown] of this.shown) {
      if (open.has(id)) continue;
      this.shown.delete(id);
      if (this.mine.has(id) || this.store.frozen) shown.el.remove();
      else this.closed(shown, Object.hasOwn(gone, id) ? oneLine(gone[id], 120) : "Answered elsewhere");
    }
    for (const ask of asks) {
      const id = str(ask.id);
      if (this.shown.has(id)) continue;
      const made = new Ask(ask, this);
      this.shown.set(id, made);
      add(this.el, made.el);
    }
    this.el.classList.toggle("some", this.el.childElementCount > 0);
  }

  /** @param {Ask} ask @param {string} said */
  closed(ask, said) {
    const line = h("div.ask-gone", { role: "status" }, icon("waiting", "s12"), h("span.cut", null, oneLine(ask.ask.question, 80)), h("span.f2", null, said));
    ask.el.replaceWith(line);
    setTimeout(() => {
      line.remove();
      this.el.classList.toggle("some", this.el.childElementCount > 0);
    }, GONE_MS);
  }

  tick() {
    for (const ask of this.shown.values()) ask.tick();
  }
}
