/** One view of the board: head, inbox, filter, rows; keys J K move, Enter opens, / finds. */

import { Asks } from "../../run_view/src/asks.js";
import { add, attr, h, icon, letSave, say } from "../../run_view/src/dom.js";
import { viewOf } from "../../run_view/src/embed.js";
import { num, oneLine, str } from "../../run_view/src/text.js";
import { money, plural } from "../../run_view/src/units.js";
import { Row } from "./row.js";

const GROUPS = /** @type {[string, string, string][]} */ ([
  ["waiting", "Waiting for you", "waiting"],
  ["running", "Running", "running"],
  ["review", "To review", "diff"],
  ["interrupted", "Interrupted", "interrupted"],
  ["failed", "Failed", "failed"],
  ["done", "Done", "done"],
  ["stopped", "Stopped", "stopped"],
]);
const CHIPS = /** @type {typeof GROUPS} */ ([["", "All", ""], ...GROUPS, ["background", "In the background", "queue"]]);
const RANK = new Map(GROUPS.map(([name], i) => [name, i]));
const PAGE = 12;

/** What the run view's questions need of a store, for the questions of many runs. */
class Inbox {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.name = store.name;
    this.frozen = false;
    this.head = { can: { edit_input: true } };
  }

  get asks() {
    return this.store.asks.map((ask) => ({ ...ask, why: [str(ask.about), str(ask.why)].filter(Boolean).join(" ") }));
  }

  now_us() {
    return this.store.now_us();
  }

  /** @param {string} verb @param {any} fields @param {() => void} [slow] */
  act(verb, fields, slow) {
    const [run, permission] = str(fields.permission).split(":");
    return this.store.act(run, verb, { ...fields, permission }, slow);
  }
}

export class View {
  /** @param {import("./store.js").Store} store @param {HTMLElement} el */
  constructor(store, el) {
    this.store = store;
    this.group = "";
    this.opened = "";
    this.shown = PAGE;
    this.focused = "";
    this.onScreen = true;
    this.found = "";
    /** @type {string[]} rows that the reader has; new ones wait until asked for */
    this.order = [];
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.build(el);
    this.watch = new IntersectionObserver((seen) => {
      this.onScreen = seen[seen.length - 1].isIntersecting;
      if (this.onScreen) store.here();
    });
    this.watch.observe(this.el);
    this.onVisible = () => store.here();
    document.addEventListener("visibilitychange", this.onVisible);
    this.timer = setInterval(() => this.tick(), 1000);
    store.watchers.add(this);
    store.hello();
    if (store.synced) this.update();
  }

  close() {
    clearInterval(this.timer);
    this.watch.disconnect();
    document.removeEventListener("visibilitychange", this.onVisible);
    this.store.watchers.delete(this);
    entitle(0);
    this.shut();
    this.el.remove();
  }

  /** Whether somebody can see it. */
  seen() {
    return this.onScreen && document.visibilityState !== "hidden";
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.project = h("span.b.t16.cut");
    this.about = h("span.f2.t12.wide");
    this.money = h("span.cst");
    this.badge = h("b");
    this.asks = new Asks(/** @type {any} */ (new Inbox(this.store)));
    this.asks.el.classList.add("asks");
    this.inbox = h("section.ibx", { "aria-label": "Permissions inbox", hidden: true }, h("h3", null, icon("waiting"), "Waiting for you ", this.badge), this.asks.el);
    this.chips = CHIPS.map(([name, word, glyph]) => {
      const number = h("b");
      const chip = h("button.chip", { type: "button", "aria-pressed": name === "" ? "true" : "false", onclick: () => this.choose(name) }, glyph ? h(`span.st-${glyph === "diff" ? "attached" : glyph}`, null, icon(glyph, "s12")) : null, word, " ", number);
      return { name, chip, number };
    });
    this.find = h("input.field", { type: "search", placeholder: "Find a run", "aria-label": "Find a run" });
    this.find.addEventListener("input", () => {
      this.found = this.find.value.trim().toLowerCase();
      this.arrange(true);
    });
    this.find.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => {
      e.stopPropagation();
      if (e.key === "Escape" || e.key === "Enter") this.list.querySelector("li:not([hidden])")?.focus();
    });
    this.fresh = h("button.btn.quiet.fresh", { type: "button", hidden: true, onclick: () => this.arrange(true) });
    this.list = h("ol.runs", { "aria-label": "Runs" });
    this.empty = h("p.pad.f2.none", null, "No run here yet. ", h("code", null, "%%paseo AGENT"), " starts one.");
    this.say = h("p.rv-say.err", { role: "status", hidden: true });
    this.left = h("span");
    this.older = h("button.btn.quiet", { type: "button", onclick: () => { this.shown += 40; this.arrange(true); } }, "Show older");
    this.slot = h("li.slot", { hidden: true });
    this.card = h(
      "div.card", null,
      h("header.dh", null, this.project, this.about, h("span.grow"), this.money),
      this.inbox,
      h("div.fl", null, h("div.chs", { role: "group", "aria-label": "Filter by state" }, this.chips.map((one) => one.chip)), h("label.find.wide", null, icon("search"), this.find, h("kbd", null, "/"))),
      h("div.dr.hd", { "aria-hidden": "true" }, ...["State", "Run", "", "Agent", "Branch", "Diff"].map((word) => h("span", null, word)), h("span.num", null, "Time"), h("span.num", null, "Cost"), h("span")),
      this.fresh, this.say, this.list, this.empty,
      h("footer.rv-foot", null, this.left, this.older, h("span.links.wide", null, h("span", null, h("kbd", null, "J"), " ", h("kbd", null, "K"), " move"), h("span", null, h("kbd", null, "↵"), " open"), h("span", null, h("kbd", null, "1"), " ", h("kbd", null, "2"), " ", h("kbd", null, "3"), " answer"))),
    );
    this.el = h("article.pn.dsh.paseo-alive", { "data-lm-suppress-shortcuts": "true", onkeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) }, this.card);
    letSave(this.el);
    add(el, this.el);
  }

  // ---------------------------------------------------------------- filling

  update() {
    const { head, asks } = this.store;
    say(this.project, oneLine(head.project, 60) || "Runs");
    say(this.about, `${plural(num(head.runs) ?? 0, "run")}, this machine`);
    const all = num(head.cost_usd);
    const today = num(head.today_usd);
    this.money.replaceChildren(...(all === null ? [] : [h("span.cap", null, "Today"), h("b", null, money(today ?? 0)), h("span.f2", null, `${money(all)} in all`)]));
    const waiting = asks.length;
    this.inbox.hidden = waiting === 0;
    say(this.badge, String(waiting));
    attr(this.el, "data-waiting", String(waiting));
    entitle(waiting);
    this.asks.update();
    this.count();
    this.arrange(false);
  }

  count() {
    const counts = { ...this.store.head.counts, background: this.store.head.background };
    for (const { name, chip, number } of this.chips) {
      const many = name ? (num(Object.hasOwn(counts, name) ? counts[name] : 0) ?? 0) : this.store.order.length;
      say(number, String(many));
      chip.hidden = name !== "" && many === 0 && this.group !== name;
    }
  }

  /** @param {string} id */
  fits(id) {
    const line = this.store.lines.get(id);
    if (!line) return false;
    if (this.group && (this.group === "background" ? line.background !== true : line.group !== this.group)) return false;
    return !this.found || [line.title, line.agent, line.branch, line.short, line.note].some((text) => str(text).toLowerCase().includes(this.found));
  }

  /** Rows stay where they are while the list is read; new ones wait until asked for. @param {boolean} anew */
  arrange(anew) {
    const wanted = this.store.order.filter((id) => this.fits(id));
    wanted.sort((a, b) => rank(this.store, a) - rank(this.store, b));
    const reading = this.order.length > 0 && (this.list.contains(document.activeElement) || this.list.matches(":hover"));
    const known = new Set(this.order);
    const news = wanted.filter((id) => !known.has(id));
    if (anew || !reading) this.order = wanted;
    else {
      const still = new Set(wanted);
      this.order = this.order.filter((id) => still.has(id));
    }
    const held = anew || !reading ? 0 : news.length;
    this.fresh.hidden = held === 0;
    say(this.fresh, `${held} new ${held === 1 ? "run" : "runs"}`);
    const shown = this.order.slice(0, this.shown);
    const keep = new Set(shown);
    for (const [id, row] of this.rows) if (!keep.has(id)) {
      row.el.remove();
      this.rows.delete(id);
      if (this.opened === id) this.shut();
    }
    shown.forEach((id, i) => {
      let row = this.rows.get(id);
      if (!row) this.rows.set(id, (row = new Row(this, id)));
      row.fill();
      const before = i === 0 ? null : /** @type {Row} */ (this.rows.get(shown[i - 1])).el;
      const after = before && this.opened === shown[i - 1] ? this.slot : before;
      const at = after ? after.nextSibling : this.list.firstChild;
      if (at !== row.el) this.list.insertBefore(row.el, at);
      if (this.opened === id && row.el.nextSibling !== this.slot) row.el.after(this.slot);
      attr(row.el, "tabindex", id === (this.focused || shown[0]) ? "0" : "-1");
    });
    this.empty.hidden = shown.length > 0;
    say(/** @type {any} */ (this.empty.firstChild), this.store.order.length ? "No run fits. " : "No run here yet. ");
    say(this.left, `${shown.length} of ${wanted.length} shown`);
    this.older.hidden = shown.length >= this.order.length;
  }

  tick() {
    for (const row of this.rows.values()) row.tick();
    this.asks.tick();
    entitle(this.store.silent ? 0 : this.store.asks.length);
    this.el.classList.toggle("paseo-alive", !this.store.silent);
  }

  // ---------------------------------------------------------------- doing

  /** @param {string} name */
  choose(name) {
    this.group = this.group === name ? "" : name;
    for (const one of this.chips) attr(one.chip, "aria-pressed", one.name === this.group ? "true" : "false");
    this.arrange(true);
    this.count();
  }

  /** @param {string} id */
  focus(id) {
    this.focused = id;
    for (const [other, row] of this.rows) attr(row.el, "tabindex", other === id ? "0" : "-1");
    this.rows.get(id)?.el.focus({ preventScroll: false });
  }

  /** @param {string} id */
  answer(id) {
    const at = this.store.asks.findIndex((ask) => ask.run === id);
    const ask = /** @type {HTMLElement | undefined} */ (this.asks.el.querySelectorAll(".ask")[at]);
    ask?.scrollIntoView({ block: "nearest" });
    ask?.focus();
  }

  /** @param {string} id @param {string} said */
  complain(id, said) {
    const line = this.store.lines.get(id);
    say(this.say, `${oneLine(line?.title, 60)}: ${oneLine(said, 300) || "That did not work."}`);
    this.say.hidden = false;
    clearTimeout(this.hush);
    this.hush = setTimeout(() => (this.say.hidden = true), 8000);
  }

  /** A run's own view, below its row. @param {string} id */
  async open(id) {
    if (this.store.model.open) return this.store.model.open(id);
    if (this.opened === id) return this.shut();
    this.shut();
    this.opened = id;
    this.rows.get(id)?.act();
    this.rows.get(id)?.el.after(this.slot);
    const wait = h("p.pad.f2.t12", null, "Opening…");
    this.slot.replaceChildren(wait);
    this.slot.hidden = false;
    const answer = await this.store.act(id, "open");
    if (this.opened !== id) return;
    try {
      if (!answer.ok || !answer.model) throw new Error(answer.said);
      const view = await viewOf(this.store.model, answer.model);
      if (this.opened !== id) return view.remove();
      this.inner = view;
      this.slot.replaceChildren(view.el);
    } catch {
      const short = oneLine(this.store.lines.get(id)?.short, 40);
      wait.replaceChildren("It cannot be shown here: ", h("code", null, `%paseo attach ${short}`), " in a cell does.");
    }
  }

  shut() {
    const was = this.opened;
    this.opened = "";
    this.inner?.remove();
    this.inner = null;
    this.slot.hidden = true;
    this.slot.replaceChildren();
    this.rows.get(was)?.act();
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const target = /** @type {HTMLElement} */ (e.target);
    if (e.ctrlKey || e.metaKey || e.altKey || /^(TEXTAREA|INPUT|SELECT)$/.test(target.tagName) || this.slot.contains(target)) return;
    const ids = [...this.rows.values()].map((row) => row.el).sort((a, b) => (a.compareDocumentPosition(b) & 4 ? -1 : 1)).map((el) => el.dataset.run ?? "");
    const at = ids.indexOf(target.closest("li.dr")?.getAttribute("data-run") ?? "");
    if (e.key === "j" || e.key === "ArrowDown") this.focus(ids[Math.min(at + 1, ids.length - 1)] ?? "");
    else if (e.key === "k" || e.key === "ArrowUp") this.focus(ids[Math.max(at - 1, 0)] ?? "");
    else if (e.key === "/") this.find.focus();
    else if (e.key === "Enter" && at >= 0 && target.tagName === "LI") this.open(ids[at]);
    else if (/^[123]$/.test(e.key) && at >= 0) this.answer(ids[at]);
    else if (e.key === "Escape" && this.opened) this.shut();
    else return;
    e.preventDefault();
    e.stopPropagation();
  }
}

/** How many questions wait, before the page's title, whatever else sets that. @param {number} waiting */
function entitle(waiting) {
  const bare = document.title.replace(/^(\(\d+ waiting\) )+/, "");
  const told = waiting ? `(${waiting} waiting) ${bare}` : bare;
  if (document.title !== told) document.title = told;
}

/** @param {import("./store.js").Store} store @param {string} id */
const rank = (store, id) => {
  const at = RANK.get(str(store.lines.get(id)?.group)) ?? 9;
  return at >= 3 ? 3 : at; // what needs nothing stays in the order of time
};
