/** One run in the panel: made once, filled in place, so that nothing jumps. Its actions are below it
 * while it is the selected one. */

import { attr, h, icon, say } from "../../../paseo_nb/widgets/run_view/src/dom.js";
import { list, num, oneLine, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import { clock, count, money } from "../../../paseo_nb/widgets/run_view/src/units.js";
import type { Panel } from "./panel";
import type { Json } from "./server";

const SHAPES = ["queued", "running", "waiting", "done", "failed", "interrupted", "stopped"];
const TONES: Record<string, string> = { warn: "warn b", bad: "err" };

export class Row {
  readonly el: HTMLElement;
  private shape = "";
  private shown = "";
  private pending = "";
  private sign = h("span.sg");
  private word = h("span.sr");
  private state = h("span.state", null, this.sign, this.word);
  private title = h("span.ti.cut");
  private time = h("span.num.f2.tm");
  private note = h("span.no.cut");
  private agent = h("span.cut");
  private more = h("span.num");
  private acts = h("div.ra", { hidden: true });

  constructor(
    private panel: Panel,
    readonly id: string,
  ) {
    this.el = h(
      "li.pr",
      { tabindex: -1, "data-run": id, onclick: () => panel.select(id), ondblclick: () => panel.open("attach", id) },
      h("div.l1", null, this.state, this.title, this.time),
      h("div.l2", null, this.note),
      h("div.l3.f2", null, this.agent, h("span.grow"), this.more),
      this.acts,
    );
  }

  get line(): Json {
    return this.panel.store.lines.get(this.id) ?? {};
  }

  fill(): void {
    const { line } = this;
    const shape = SHAPES.includes(line.shape) ? line.shape : "queued";
    if (shape !== this.shape) {
      this.shape = shape;
      this.state.className = `state st-${shape}`;
      this.sign.replaceChildren(icon(shape, shape === "running" ? "spin" : ""));
    }
    say(this.word, oneLine(line.word, 40));
    attr(this.state, "title", oneLine(line.word, 40));
    say(this.title, oneLine(line.title, 90));
    attr(this.title, "title", oneLine(line.title, 200));
    say(this.note, oneLine(line.note, 120));
    this.note.className = `no cut ${TONES[str(line.tone)] ?? "f2"}`;
    this.note.parentElement.hidden = !line.note;
    const branch = oneLine(line.branch, 60);
    say(this.agent, [oneLine(line.agent, 60), branch, oneLine(line.project, 60)].filter(Boolean).join(" · "));
    const [, added, removed] = list(line.diff).map(num);
    const usd = num(line.cost_usd);
    const told = [added ? h("b.ok", null, `+${count(added)}`) : "", removed ? h("b.err", null, `−${count(removed)}`) : "", usd === null ? "" : h("span", null, money(usd))];
    this.more.replaceChildren(...told.filter(Boolean));
    const selected = this.panel.selected === this.id;
    attr(this.el, "aria-current", selected ? "true" : null);
    this.acts.hidden = !selected;
    if (selected) this.offer();
    this.tick();
  }

  tick(): void {
    const { line } = this;
    const [started, took] = [num(line.started_us), num(line.took_s)];
    const seconds = started !== null && line.busy === true ? (this.panel.store.now_us() - started) / 1e6 : took;
    say(this.time, seconds === null ? "" : clock(seconds));
  }

  private offer(): void {
    const { line } = this;
    if (this.pending && this.pending !== str(line.state)) this.pending = "";
    const can = list(line.can);
    const names = [
      line.group === "waiting" && "answer", line.busy === true && "stop", can.includes("resume") && "resume",
      "attach", "diff", "trace", line.busy !== true && "archive",
    ].filter((name) => typeof name === "string");
    const told = `${names} ${this.pending}`;
    if (told === this.shown) return;
    this.shown = told;
    const focused = (document.activeElement as HTMLElement | null)?.dataset.act;
    this.acts.replaceChildren(...names.map((name) => this.button(name)));
    if (focused && this.el.contains(document.activeElement)) this.acts.querySelector(`[data-act=${focused}]`)?.focus();
  }

  private button(name: string): HTMLElement {
    const [face, glyph, why] = FACES[name];
    const ends = name === "stop" || name === "resume";
    const waits = ends && this.pending !== "";
    return h(
      "button.btn.quiet",
      { type: "button", title: why, "data-act": name, disabled: waits, onclick: (e: Event) => this.press(e, name) },
      icon(glyph),
      waits ? (name === "stop" ? "Stopping…" : "Resuming…") : face,
    );
  }

  private async press(e: Event, name: string): Promise<void> {
    e.stopPropagation();
    if (name === "stop" || name === "resume") {
      this.pending = str(this.line.state);
      this.offer();
    }
    await this.panel.open(name, this.id);
    if (name === "resume") this.pending = "";
  }

  /** What was asked for did not work. */
  again(): void {
    this.pending = "";
    this.fill();
  }
}

const FACES: Record<string, [string, string, string]> = {
  answer: ["Answer", "waiting", "Go to its question"],
  stop: ["Stop", "stop", "End its turn and its processes; resume brings it back"],
  resume: ["Resume", "play", "Bring it back in the agent's own session"],
  attach: ["Attach", "prompt", "Show it live in the notebook in front"],
  diff: ["Diff", "diff", "What it changed, in a tab"],
  trace: ["Trace", "trace", "Where its time and money went, in a tab"],
  archive: ["Put away", "tail", "Archive it"],
};
