/** One run of the board: its elements are made once and filled in place, so that nothing jumps. */

import { attr, h, icon, say } from "../../run_view/src/dom.js";
import { clean, list, num, oneLine, str } from "../../run_view/src/text.js";
import { clock, count, money } from "../../run_view/src/units.js";

const SHAPES = ["queued", "running", "waiting", "done", "failed", "interrupted", "stopped"];
const TONES = ["warn", "bad"];

export class Row {
  /** @param {import("./view.js").View} view @param {string} id */
  constructor(view, id) {
    this.view = view;
    this.id = id;
    this.shape = "";
    this.action = "";
    this.pending = "";
    this.sign = h("span.sg");
    this.word = h("span");
    this.state = h("span.state", null, this.sign, this.word);
    this.title = h("span.ti.cut");
    this.note = h("span.no.cut");
    this.agent = h("span.ag.cut");
    this.branch = h("span.cut");
    this.br = h("span.br.cut", null, icon("branch", "s12"), this.branch);
    this.added = h("b.ok");
    this.removed = h("b.err");
    this.time = h("span.num.tm");
    this.cost = h("span.num.usd");
    this.button = h("button.btn.quiet.ac", { type: "button", tabindex: -1, onclick: (/** @type {Event} */ e) => this.press(e) });
    this.dismiss = h("button.btn.quiet.x", { type: "button", tabindex: -1, title: "Put it away (archive)", "aria-label": "Dismiss", onclick: (/** @type {Event} */ e) => this.put(e) }, "Dismiss");
    this.preview = h("p.pv", { hidden: true });
    this.said = h("span.said.err", { role: "status" });
    this.el = h(
      "li.dr",
      { tabindex: -1, "data-run": "", onclick: () => (view.store.model.open ? view.open(id) : view.focus(id)), ondblclick: () => view.open(id) },
      this.state, this.title, this.note, this.agent, this.br,
      h("span.pmc", null, h("span.pm", null, this.added, this.removed)),
      this.time, this.cost, h("span.acs", null, this.dismiss, this.button), this.preview,
    );
    attr(this.el, "data-run", id);
  }

  get line() {
    return this.view.store.lines.get(this.id) ?? {};
  }

  fill() {
    const line = this.line;
    const shape = SHAPES.includes(line.shape) ? line.shape : "queued";
    if (shape !== this.shape) {
      this.shape = shape;
      this.state.className = `state st-${shape}`;
      this.sign.replaceChildren(icon(shape, shape === "running" ? "spin" : ""));
    }
    say(this.word, line.group === "review" ? "To review" : oneLine(line.word, 40));
    say(this.title, oneLine(line.title, 90));
    attr(this.title, "title", oneLine(line.title, 200));
    say(this.note, oneLine(line.note, 120));
    attr(this.note, "title", oneLine(line.note, 200) || null);
    this.note.className = `no cut ${TONES.includes(line.tone) ? (line.tone === "bad" ? "err" : "warn b") : ""}`;
    say(this.agent, oneLine(line.agent, 60));
    const branch = oneLine(line.branch, 60);
    say(this.branch, branch);
    this.br.classList.toggle("none", !branch);
    const [, added, removed] = list(line.diff);
    say(this.added, num(added) ? `+${count(added)}` : "");
    say(this.removed, num(removed) ? `−${count(removed)}` : "");
    const usd = num(line.cost_usd);
    say(this.cost, usd === null ? "" : money(usd));
    const preview = this.view.group === "background" && line.busy !== true ? clean(str(line.preview).slice(0, 2000)) : "";
    say(this.preview, preview);
    this.preview.hidden = !preview;
    this.act();
    this.tick();
  }

  act() {
    const line = this.line;
    const can = list(line.can);
    const open = this.view.opened === this.id;
    const action = open ? "close" : line.group === "waiting" ? "answer" : can.includes("cancel") ? "cancel" : can.includes("resume") ? "resume" : "open";
    this.dismiss.hidden = line.group !== "review" || open;
    if (this.pending && this.pending !== str(line.state)) this.pending = "";
    const key = `${action} ${this.pending}`;
    if (key === this.action) return;
    this.action = key;
    const [face, glyph] = /** @type {Record<string, [string, string]>} */ ({
      answer: ["Answer", ""], cancel: ["Stop", "stop"], resume: ["Resume", "play"], open: ["Open", "copy"], close: ["Close", ""],
    })[action];
    this.button.replaceChildren(...(glyph ? [icon(glyph)] : []), this.pending ? (action === "cancel" ? "Stopping…" : "Resuming…") : face);
    this.button.disabled = Boolean(this.pending);
    this.button.dataset.act = action;
  }

  /** @param {Event} e */
  press(e) {
    e.stopPropagation();
    this.go(this.button.dataset.act);
  }

  /** @param {string} action */
  async go(action) {
    if (action === "answer") return this.view.answer(this.id);
    if (action === "open") return this.view.open(this.id);
    if (action === "close") return this.view.shut();
    this.pending = str(this.line.state);
    this.act();
    const answer = await this.view.store.act(this.id, action);
    if (!answer.ok) this.view.complain(this.id, answer.said);
    this.pending = answer.ok && action === "cancel" ? this.pending : "";
    this.act();
  }

  /** @param {Event} e */
  async put(e) {
    e.stopPropagation();
    this.dismiss.disabled = true;
    const answer = await this.view.store.act(this.id, "archive");
    if (!answer.ok) {
      this.dismiss.disabled = false;
      this.view.complain(this.id, answer.said);
    }
  }

  tick() {
    const line = this.line;
    const started = num(line.started_us);
    const took = num(line.took_s);
    say(this.time, started !== null && line.busy === true ? clock((this.view.store.now_us() - started) / 1e6) : took === null ? "" : clock(took));
  }
}
