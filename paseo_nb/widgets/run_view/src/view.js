/** One view of a run in the page: puts the parts together and tells each what changed. */

import { Asks } from "./asks.js";
import { coded, h, icon, letSave, say } from "./dom.js";
import { FollowUp } from "./follow.js";
import { Foot } from "./foot.js";
import { Head } from "./head.js";
import { List } from "./list.js";
import { guess, noteBox, rowPart } from "./rows.js";
import { list, num, oneLine, str } from "./text.js";
import { count, plural } from "./units.js";

const SAID_MS = 8000;

export class View {
  /** @param {import("./store.js").Store} store @param {HTMLElement} host */
  constructor(store, host) {
    this.store = store;
    this.host = host;
    /** @type {Map<string, boolean>} */
    this.opened = new Map();
    /** @type {Map<number, any>} */
    this.whole = new Map();
    this.seen = 0; // rows when the reader was last at the tail
    this.tip = 0; // the last row that shows anything
    this.grew = false; // the last row grew since
    this.folded = false;
    this.begun = this.busy = false;
    this.head = new Head(store, (text, bad) => this.tell(text, bad), () => this.fold(!this.folded), () => store.busy || !store.everSynced || this.follow.wanted);
    this.band = h("div.rv-band");
    this.status = h("div.rv-say", { role: "status", hidden: true });
    this.empty = h("p.f2.pad");
    this.scroller = h("div.rv-scroll", { role: "region", "aria-label": "Transcript", tabindex: 0 });
    this.newer = h("button.btn.rv-new", { type: "button", hidden: true, onclick: () => this.rows.toTail() });
    this.middle = h("div.rv-body", null, this.empty, this.scroller, this.newer);
    this.summary = h("button.rv-fold", { type: "button", "aria-expanded": "false", onclick: () => this.fold(!this.folded) });
    this.asks = new Asks(store);
    this.follow = new FollowUp(store);
    this.foot = new Foot(store, () => this.follow.possible && !store.busy && !this.follow.wanted, () => this.followUp());
    this.el = h(
      "article.pn.pn-run",
      { "data-lm-suppress-shortcuts": "true", "aria-label": "Run" },
      h(
        "div.card",
        null,
        this.head.el,
        this.status,
        this.band,
        this.middle,
        this.summary,
        this.asks.el,
        this.follow.el,
        this.foot.el,
      ),
    );
    this.rows = new List(this.scroller, {
      make: (i) => rowPart(this, i),
      guess: (i) => guess(store.rows[i], store.rows[i - 1]),
      look: (i) => this.look(i),
      moved: () => this.moved(),
    });
    this.timer = window.setInterval(() => this.tick(), 1000);
    this.saying = 0;
    this.drawn = 0;
    this.due = { head: true, asks: false };
    /** @type {Record<string, any>} */
    this.gone = {};
    this.el.dataset.state = "starting";
    letSave(this.el);
    host.appendChild(this.el);
    store.watchers.add(this);
    if (store.everSynced) this.onReset();
    else this.draw();
  }

  close() {
    this.store.watchers.delete(this);
    clearInterval(this.timer);
    cancelAnimationFrame(this.drawn);
    this.rows.close();
    this.el.remove();
  }

  // ---------------------------------------------------------------- what the store tells

  onReset() {
    const { store } = this;
    const first = !this.begun;
    this.begun = true;
    this.whole.clear();
    if (first) this.folded = this.foldable() && !store.busy;
    if (first) this.opened.clear();
    this.rows.reset(this.length, this.from);
    this.scroller.hidden = this.length <= this.rows.from;
    this.tip = Math.max(store.rows.findLastIndex((row) => row?.k), 0);
    if (this.rows.atTail) this.seen = store.rows.length;
    this.soon({ head: true, asks: true });
  }

  /** @param {number} i */
  onRow(i) {
    if (i < this.length) this.rows.dirty(i);
    if (i > this.tip && this.store.rows[i]?.k) {
      this.rows.dirty(this.tip); // no longer the last
      this.tip = i;
    }
    this.grew = true;
    if (this.folded || this.band.firstChild) this.soon({ head: true });
  }

  onHead() {
    this.soon({ head: true });
  }

  /** @param {Record<string, any>} gone */
  onAsks(gone) {
    Object.assign(this.gone, gone);
    this.soon({ asks: true });
  }

  onLink() {
    this.soon({ head: true });
  }

  /** @param {any[]} files @param {string} said */
  onDiff(files, said) {
    this.foot.show(files, said);
  }

  /** @param {{head?: boolean, asks?: boolean}} what */
  soon(what) {
    Object.assign(this.due, what);
    this.drawn ||= requestAnimationFrame(() => this.draw());
  }

  // ---------------------------------------------------------------- drawing

  draw() {
    this.drawn = 0;
    const { store } = this;
    if (store.busy && this.folded) this.fold(false);
    if (this.busy !== store.busy) for (const i of this.rows.shown.keys()) this.rows.dirty(i); // what turns, counts or blinks
    this.busy = store.busy;
    this.el.dataset.state = oneLine(store.head.shape, 20) || "starting";
    this.el.classList.toggle("frozen", store.frozen);
    // while this lives, the static output that stands for the run without a kernel is hidden (CSS)
    this.el.classList.toggle("paseo-alive", store.everSynced && !store.frozen && !store.silent);
    this.head.update();
    this.bands();
    if (this.length !== this.rows.count) this.rows.reset(this.length, this.from);
    this.asks.update(this.gone);
    this.middle.classList.toggle("asking", this.asks.shown.size > 0);
    this.gone = {};
    this.follow.update();
    this.foot.update();
    this.summarise();
    const nothing = this.length <= this.rows.from;
    this.empty.hidden = !nothing || this.folded || !!this.band.firstChild;
    this.scroller.hidden = nothing;
    this.middle.classList.toggle("bare", nothing);
    say(this.empty, store.everSynced ? (store.busy ? "Waiting for the agent's first words" : "Nothing was said.") : "Reading the run…");
  }

  /** The row that tells why the run ended as it did, where it is the last; it stands under the head. */
  get ending() {
    const { rows, head, busy } = this.store;
    let at = rows.length - 1;
    while (at > 0 && !rows[at]?.k) at--;
    const last = rows[at];
    return !busy && ["failed", "interrupted"].includes(head.shape) && last?.k === "note" ? last : null;
  }

  get length() {
    return this.ending ? this.store.rows.lastIndexOf(this.ending) : this.store.rows.length;
  }

  bands() {
    const { store } = this;
    const { ending } = this;
    const what = list(store.head.notices).slice(0, 5);
    if (ending) what.push(ending);
    if (store.silent && store.model.served) what.unshift({ tone: "warn", text: "The server does not answer.", hint: "What is shown here may be old. It is tried again." });
    else if (store.silent)
      what.unshift({ tone: "warn", text: store.everSynced ? "The kernel does not answer." : "The kernel has not answered yet.", hint: `What is shown here may be old. ${attachLine(store.head.attach)}` });
    const shape = store.head.shape === "interrupted" && !store.silent ? "interrupted" : "warn";
    const told = JSON.stringify([what, shape]);
    if (this.band.dataset.told === told) return;
    this.band.dataset.told = told;
    this.band.replaceChildren(...what.map((note) => noteBox({ tone: note?.tone, text: note?.text, hint: note?.hint, shape })));
  }

  /** How a row stands among its neighbours, as classes. @param {number} i */
  look(i) {
    const row = this.store.rows[i];
    if (!row?.k) return "none";
    const [before, after] = [this.near(i, -1), this.near(i, 1)];
    const joined = (/** @type {any} */ other) => row.k === "call" && other?.k === "call" && row.group === other.group;
    return `${before ? "" : "first "}${joined(before) ? "joins " : ""}${joined(after) ? "goes-on" : ""}`.trim();
  }

  /** The next row that shows anything. @param {number} i @param {number} step */
  near(i, step) {
    const { rows } = this.store;
    for (i += step; i >= this.rows.from && i < this.length; i += step) if (rows[i]?.k) return rows[i];
    return null;
  }

  isLast = (/** @type {number} */ i) => this.near(i, 1) === null;

  touched = (/** @type {number} */ _row) => {
    this.rows.follow = false; // what was clicked stays where it is
  };

  moved() {
    if (this.rows.atTail) {
      this.seen = this.store.rows.length;
      this.grew = false;
    }
    const fresh = this.store.rows.slice(this.seen).filter((row) => row?.k).length;
    const hidden = this.rows.atTail || !(fresh > 0 || this.grew);
    if (this.newer.hidden !== hidden) this.newer.hidden = hidden;
    const told = fresh > 0 ? `${count(fresh)} new` : "New text";
    if (!this.newer.hidden && this.newer.dataset.told !== told) {
      this.newer.dataset.told = told;
      this.newer.replaceChildren(icon("tail", "s12"), told);
    }
  }

  // ---------------------------------------------------------------- an ended run, in short

  get from() {
    return this.folded ? this.finalFrom() : 0;
  }

  /** Where the final text begins. */
  finalFrom() {
    const { rows } = this.store;
    let from = this.length;
    while (from > 0 && ["text", "note", ""].includes(str(rows[from - 1]?.k))) from--;
    return from;
  }

  foldable() {
    const from = this.finalFrom();
    return from > 2 && (from < this.length || !!this.ending || list(this.store.head.notices).length > 0);
  }

  /** @param {boolean} folded */
  fold(folded) {
    this.folded = folded;
    this.rows.reset(this.length, this.from);
    this.rows.follow = folded;
    if (!folded) this.scroller.scrollTop = 0;
    if (this.store.busy) this.rows.follow = true;
    this.soon({ head: true });
  }

  summarise() {
    const { rows, busy } = this.store;
    const can = !busy && (this.folded || this.foldable());
    this.head.unfold.hidden = !can;
    this.head.unfold.classList.toggle("open", !this.folded);
    this.head.unfold.setAttribute("aria-expanded", String(!this.folded));
    this.summary.hidden = !can || !this.folded;
    if (this.summary.hidden) return;
    const told = [];
    const kinds = (/** @type {string} */ k) => rows.filter((row) => row?.k === k);
    const calls = kinds("call");
    const failed = calls.filter((row) => row.failed === true).length;
    const turns = Math.max(...kinds("prompt").map((row) => num(row.turn) ?? 1), 1);
    told.push(plural(turns, "turn"));
    if (calls.length) told.push(plural(calls.length, "tool call"));
    if (failed) told.push(`${count(failed)} failed`);
    if (kinds("answered").length) told.push(plural(kinds("answered").length, "permission"));
    this.summary.replaceChildren(icon("chev", "s12 chev"), told.join(", "));
  }

  followUp() {
    this.follow.open();
    this.soon({ head: true });
  }

  // ---------------------------------------------------------------- the rest

  /** @param {string} text */
  tell(text, bad = false) {
    clearTimeout(this.saying);
    this.status.replaceChildren(...coded(text));
    this.status.hidden = !text;
    this.status.classList.toggle("err", bad);
    if (text) this.saying = window.setTimeout(() => (this.status.hidden = true), bad ? SAID_MS * 3 : SAID_MS);
  }

  tick() {
    if (this.store.busy) {
      this.head.tick();
      this.asks.tick();
    }
  }
}

/** @param {unknown} line */
const attachLine = (line) => (str(line) ? `\`${oneLine(line, 100)}\` in a cell shows it anew.` : "Run the cell again to show it anew.");
