/** The follow-up box: queue, steer or interrupt; what is queued; one plain Send when nothing runs. */

import { add, attr, grow, h, icon, say } from "./dom.js";
import { may, SLOW, whyNot } from "./head.js";
import { clean, list, num, oneLine } from "./text.js";

const MAC = /Mac|iP(hone|ad)/.test(navigator.platform);
const WAYS = [
  { id: "queue", name: "Queue", hint: "Sent when this turn ends" },
  { id: "steer", name: "Steer", hint: "Read at the next model call" },
  { id: "interrupt", name: "Interrupt", hint: "Ends this turn, then starts a new one" },
];

export class FollowUp {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.way = "queue";
    this.sending = false;
    this.wanted = false; // the reader asked for it after the end
    this.queue = h("ul.queued", { "aria-label": "Queued messages" });
    this.text = h("textarea", { rows: 1, "aria-label": "Follow-up message", oninput: () => this.grown(), onkeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) });
    this.hint = h("span.hint.cut", { role: "status" });
    this.buttons = WAYS.map((way) =>
      h("button", { type: "button", role: "radio", "aria-checked": "false", "data-way": way.id, onclick: () => this.pick(way.id) }, icon(way.id, "s12"), way.name),
    );
    this.ways = h("div.seg", { role: "radiogroup", "aria-label": "How to send", onkeydown: (/** @type {KeyboardEvent} */ e) => this.arrows(e) }, this.buttons);
    this.send = h("button.btn.pri", { type: "submit" }, "Send", h("kbd.wide", { "aria-hidden": "true" }, MAC ? "⌘↵" : "Ctrl ↵"));
    this.box = h(
      "form.box",
      { "aria-label": "Follow-up", onsubmit: (/** @type {Event} */ e) => { e.preventDefault(); this.submit(); } },
      this.text,
      store.model.beside,
      h("div.bar", null, this.ways, this.hint, h("span.grow"), this.send),
    );
    this.el = h("div.rv-follow", null, this.queue, this.box);
    this.kept = "";
  }

  /** Why a way of sending cannot be used. @param {string} way */
  lacks(way) {
    return way === "queue" ? "" : whyNot(this.store.head.can, way);
  }

  /** Whether a follow-up can be given at all. */
  get possible() {
    const { head, frozen } = this.store;
    return !frozen && !whyNot(head.can, "send") && head.state !== "archived" && head.state !== "unknown";
  }

  update() {
    const { head, busy } = this.store;
    this.box.hidden = !this.possible || !(busy || this.wanted);
    this.ways.hidden = !busy;
    if (this.lacks(this.way)) this.way = "queue";
    for (const button of this.buttons) {
      const way = button.dataset.way;
      const why = this.lacks(way);
      attr(button, "aria-checked", String(way === this.way));
      attr(button, "aria-disabled", why ? "true" : null);
      attr(button, "tabindex", way === this.way ? "0" : "-1");
      attr(button, "title", why ? oneLine(why, 300) : `Alt+${WAYS.findIndex((one) => one.id === way) + 1}`);
    }
    const turn = num(head.turn);
    this.text.placeholder = head.state === "waiting" ? "Follow up after your answer" : busy ? "Follow up while it works" : "Follow up";
    if (!this.sending) this.said(busy ? (WAYS.find((way) => way.id === this.way)?.hint ?? "") : turn === null ? "" : `Starts turn ${turn + 1}`);
    this.ready();
    this.queued();
    this.el.classList.toggle("some", !this.box.hidden || this.queue.childElementCount > 0);
  }

  /** @param {string} text */
  said(text, bad = false) {
    say(this.hint, text);
    this.hint.title = text;
    this.hint.classList.toggle("err", bad);
  }

  ready() {
    const able = this.text.value.trim() !== "" && !this.sending;
    this.send.disabled = !able;
    this.send.classList.toggle("pri", able);
  }

  grown() {
    grow(this.text);
    this.ready();
  }

  /** @param {string} way */
  pick(way) {
    const why = this.lacks(way);
    if (why) return this.said(oneLine(why, 300));
    this.way = way;
    this.update();
  }

  /** @param {KeyboardEvent} e */
  arrows(e) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (!step) return;
    e.preventDefault();
    const open = WAYS.filter((way) => !this.lacks(way.id)).map((way) => way.id);
    this.pick(open[(open.indexOf(this.way) + step + open.length) % open.length]);
    this.buttons.find((button) => button.dataset.way === this.way)?.focus();
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) this.submit();
    else if (e.altKey && /^Digit[123]$/.test(e.code) && this.store.busy) this.pick(WAYS[Number(e.code.slice(5)) - 1].id);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  async submit() {
    const text = this.text.value.trim();
    if (!text || this.sending) return;
    this.sending = true;
    this.text.readOnly = true;
    this.ready();
    this.said("Sending…");
    const way = this.store.busy ? this.way : "queue";
    const answer = await this.store.act("send", { text, when: way }, () => this.said(SLOW));
    this.sending = false;
    this.text.readOnly = false;
    if (answer.ok) {
      this.text.value = "";
      this.grown();
    }
    this.update();
    if (answer.said || !answer.ok) this.said(oneLine(answer.said, 300) || "It could not be sent.", !answer.ok);
  }

  queued() {
    const { head, frozen } = this.store;
    const waiting = frozen ? [] : list(head.queued).slice(0, 50);
    const told = JSON.stringify([waiting, may(head, "unqueue")]);
    if (this.kept === told) return;
    this.kept = told;
    this.queue.replaceChildren();
    for (const one of waiting) {
      const back = (/** @type {boolean} */ edit) => this.takeBack(one, edit);
      add(
        this.queue,
        h(
          "li",
          null,
          icon("queue", "s12"),
          h("span.f2", null, "Queued"),
          h("span.cut.grow", { title: clean(one?.text).slice(0, 1000) }, oneLine(one?.text, 300)),
          may(head, "unqueue") && h("button.btn.quiet", { type: "button", onclick: () => back(true) }, "Edit"),
          may(head, "unqueue") && h("button.btn.quiet", { type: "button", onclick: () => back(false) }, "Take back"),
        ),
      );
    }
  }

  /** @param {any} one @param {boolean} edit */
  async takeBack(one, edit) {
    const answer = await this.store.act("unqueue", { queued: one.id }, () => this.said(SLOW));
    if (!answer.ok) return this.said(oneLine(answer.said, 300) || "It was sent already.", true);
    if (edit) {
      this.text.value = [clean(one.text), this.text.value].filter(Boolean).join("\n");
      this.grown();
      this.text.focus({ preventScroll: true });
    }
  }

  open() {
    this.wanted = true;
    this.update();
    this.text.focus({ preventScroll: true });
  }
}
