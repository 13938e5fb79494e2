/** A tool call as a card: what, on what, how it ended, how long; under it input, changes, output. */

import { counts, diffBody } from "./diff.js";
import { add, h, icon, say } from "./dom.js";
import { fold } from "./fold.js";
import { terminal } from "./terminal.js";
import { clean, list, num, oneLine, str } from "./text.js";
import { clock, duration, plural } from "./units.js";

const ICONS = ["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode"];
const TONES = /** @type {Record<string, string>} */ ({ ok: "ok", now: "acc", warn: "warn", bad: "err" });
const LINES = 12; // of a long output at first

export class Call {
  /** @param {import("./fold.js").Scene} scene @param {number} i */
  constructor(scene, i) {
    this.scene = scene;
    this.i = i;
    this.kind = h("span.kind");
    this.word = h("span.k");
    this.target = h("span.tgt.cut");
    this.result = h("span.res");
    this.time = h("span.t");
    this.body = h("div.in.all");
    this.row = /** @type {any} */ (null);
    this.kept = /** @type {Record<string, any>} */ ({});
    this.el = fold(scene, i, "", scene.store.rows[i]?.open === true, () => this.fill());
    this.el.className = "call";
    add(
      this.el,
      h("summary", { onclick: (/** @type {Event} */ e) => this.hollow && e.preventDefault() },
        icon("chev", "s12 chev"), this.kind, this.word, this.target, h("span.r", null, this.result, this.time)),
      this.body,
    );
    this.timer = 0;
  }

  close() {
    clearInterval(this.timer);
  }

  /** @param {any} row */
  update(row) {
    this.row = row;
    const kind = ICONS.includes(str(row.kind)) ? str(row.kind) : "other";
    if (this.kept.kind !== kind) {
      this.kept.kind = kind;
      this.kind.replaceChildren(icon(kind));
    }
    say(this.word, oneLine(row.word, 30) || "Use");
    say(this.target, oneLine(row.target, 300));
    this.target.title = clean(row.full || row.target).slice(0, 1000);
    this.el.classList.toggle("bad", row.failed === true);
    this.said();
    this.ticking();
    this.hollow = !row.full && !row.input && !row.output && !list(row.diffs).length;
    this.el.classList.toggle("hollow", this.hollow);
    const open = row.open === true && !this.hollow;
    if (this.kept.open !== open && this.scene.opened.get(`${this.i}/`) === undefined) this.el.open = open;
    this.kept.open = open;
    if (this.el.open) this.fill();
  }

  said() {
    const { row } = this;
    const tone = Object.hasOwn(TONES, str(row.tone)) ? TONES[row.tone] : "";
    const text = oneLine(row.result, 90);
    const known = list(row.diffs).filter((file) => num(file?.added) !== null);
    const told = `${tone}/${text}/${row.running === true}`;
    if (this.kept.told === told) return;
    this.kept.told = told;
    if (row.running === true)
      this.result.replaceChildren(h("span.state.st-running", null, icon("running", "spin"), h("span.sr", null, "running")));
    else if (known.length && /^[+−\-\d, ]+$/.test(text))
      this.result.replaceChildren(counts(known.reduce((n, f) => n + f.added, 0), known.reduce((n, f) => n + (num(f.removed) ?? 0), 0)));
    else {
      const shape = row.failed === true && !/^exit \d/.test(text) ? icon("failed", "s12") : null;
      const words = shape ? text.replace(/^failed, /, "") : text;
      this.result.replaceChildren(h(`span${tone ? `.${tone}` : ""}${row.failed ? ".b" : ".wide"}`, null, shape, shape && " ", words));
    }
  }

  /** The time of a running call counts on. */
  ticking() {
    const { row } = this;
    const took = num(row.took_s);
    clearInterval(this.timer);
    if (row.running !== true || !this.scene.store.busy) return say(this.time, took === null ? "" : duration(took));
    const tick = () => {
      const started = num(row.started_us);
      say(this.time, started === null ? "" : clock((this.scene.store.now_us() - started) / 1e6));
      if (!this.scene.store.busy) clearInterval(this.timer);
    };
    tick();
    this.timer = window.setInterval(tick, 1000);
  }

  /** What unfolds; each part is made again only where it changed. */
  fill() {
    const { row } = this;
    if (!row) return;
    const whole = this.scene.whole.get(this.i);
    this.part("full", str(whole?.full ?? row.full), (text) => term(text));
    this.part("input", str(whole?.input ?? row.input), (text) => h("div", null, h("div.cap.lbl", null, "Input"), term(text)));
    const diffs = list(whole?.diffs ?? row.diffs);
    this.part("diffs", diffs.length ? diffs : "", () =>
      h("div", null, diffs.slice(0, 50).map((file) => [
        diffs.length > 1 && h("div.cap.lbl.mono", null, oneLine(file?.path, 200), " ", counts(file?.added, file?.removed)),
        diffBody(file),
      ])),
    );
    const output = str(whole?.output ?? row.output);
    this.part("output", output, (text) => this.output(text, whole));
    this.part("rest", !output && row.more === true && !whole ? "rest" : "", () => {
      const button = h("button.link", { type: "button", onclick: () => this.ask(button) }, "Show all");
      return h("div.more", null, h("span", null, "Not all is shown"), button);
    });
  }

  /** @param {string} name @param {any} value @param {(value: any) => HTMLElement} make */
  part(name, value, make) {
    const state = name === "output" ? `${value}\0${this.row.running === true}\0${num(this.row.output_lines)}\0${this.scene.opened.get(`${this.i}/all`)}` : value;
    if (this.kept[name] === state) return;
    this.kept[name] = state;
    const old = this.body.querySelector(`:scope > [data-part=${name}]`);
    if (!value) return old?.remove();
    const made = make(value);
    made.dataset.part = name;
    if (old) return old.replaceWith(made);
    const order = ["full", "input", "diffs", "output", "rest"];
    const after = [...this.body.children].find((kid) => order.indexOf(/** @type {HTMLElement} */ (kid).dataset.part ?? "") > order.indexOf(name));
    this.body.insertBefore(made, after ?? null);
  }

  /** @param {string} text @param {any} whole */
  output(text, whole) {
    const { row } = this;
    const lines = text.replace(/\n+$/, "").split("\n");
    const all = whole || this.scene.opened.get(`${this.i}/all`) === true;
    const total = Math.max(num(row.output_lines) ?? 0, lines.length);
    const long = row.running !== true && !all && lines.length > LINES + 3;
    let shown = lines;
    let told = "";
    if (row.running === true) shown = lines.slice(-LINES);
    else if (long && row.keep === "both") {
      shown = [...lines.slice(0, LINES - 4), "⋮", ...lines.slice(-4)];
      told = `First ${LINES - 4} and last 4 of ${plural(total, "line")}`;
    } else if (long) {
      shown = lines.slice(-LINES);
      told = `Last ${LINES} of ${plural(total, "line")}`;
    } else if (!all && (row.more === true || lines.length < total))
      told = row.keep === "end" ? `Last ${lines.length} of ${plural(total, "line")}` : `Part of ${plural(total, "line")}`;
    if (whole?.cut) told = "The output is longer than what is shown here";
    const block = term(shown.join("\n"));
    if (all) block.classList.add("tall");
    const button = told && !whole ? h("button.link", { type: "button", onclick: () => this.ask(button) }, "Show all") : null;
    return h("div", null, block, told ? h("div.more", null, h("span", null, told), button) : null);
  }

  /** @param {any} button */
  async ask(button) {
    if (this.row.more !== true && (num(this.row.output_lines) ?? 0) <= str(this.row.output).split("\n").length) {
      this.scene.opened.set(`${this.i}/all`, true);
      this.scene.touched(this.i);
      return this.fill();
    }
    button.disabled = true;
    say(button, "Loading…");
    const slow = setTimeout(() => say(button, "Waiting for the kernel…"), 3000);
    const whole = await this.scene.store.more(this.i);
    clearTimeout(slow);
    this.scene.whole.set(this.i, whole);
    this.scene.touched(this.i);
    this.fill();
  }
}

/** @param {string} text */
const term = (text) => add(h("pre.term"), terminal(text));

