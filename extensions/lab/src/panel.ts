/** The panel in the side bar: the inbox of questions, and the runs by state. Keys J K move, / finds. */

import { Widget } from "@lumino/widgets";
import { Asks } from "../../../paseo_nb/widgets/run_view/src/asks.js";
import { attr, coded, grow, h, icon, say } from "../../../paseo_nb/widgets/run_view/src/dom.js";
import { num, oneLine, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import { money } from "../../../paseo_nb/widgets/run_view/src/units.js";
import { paseoIcon } from "./icon";
import { Row } from "./row";
import type { Store } from "./store";

const GROUPS: [string, string, string][] = [
  ["waiting", "Waiting for you", "waiting"],
  ["running", "Running", "running"],
  ["review", "To review", "diff"],
  ["interrupted", "Interrupted", "interrupted"],
  ["failed", "Failed", "failed"],
  ["done", "Done", "done"],
  ["stopped", "Stopped", "stopped"],
];
const PAGE = 20; // runs of a group at first

class Group {
  readonly rows = new Map<string, Row>();
  readonly list = h("ol", null);
  readonly el: HTMLElement;
  private number = h("b");
  private older = h("button.btn.quiet.older", { type: "button", hidden: true });
  private most = PAGE;
  private folded = false;

  constructor(
    private panel: Panel,
    readonly name: string,
    word: string,
    glyph: string,
  ) {
    const chevron = icon("chev", "s12 chev");
    const head = h("button.gh", { type: "button", "aria-expanded": "true" }, chevron, h(`span.st-${glyph === "diff" ? "attached" : glyph}`, null, icon(glyph)), word, " ", this.number);
    head.addEventListener("click", () => {
      this.folded = !this.folded;
      attr(head, "aria-expanded", String(!this.folded));
      this.list.hidden = this.folded;
      this.fill(this.ids);
    });
    this.older.addEventListener("click", () => {
      this.most += 50;
      this.fill(this.ids);
    });
    attr(this.list, "aria-label", word);
    this.el = h("section.gr", { "data-group": name, hidden: true }, head, this.list, this.older);
  }

  private ids: string[] = [];

  fill(ids: string[]): void {
    this.ids = ids;
    this.el.hidden = ids.length === 0;
    say(this.number, String(ids.length));
    const shown = this.folded ? [] : ids.slice(0, this.most);
    this.older.hidden = this.folded || shown.length === ids.length;
    say(this.older, `${ids.length - shown.length} older`);
    const keep = new Set(shown);
    for (const [id, row] of this.rows)
      if (!keep.has(id)) {
        row.el.remove();
        this.rows.delete(id);
      }
    shown.forEach((id, i) => {
      let row = this.rows.get(id);
      if (!row) this.rows.set(id, (row = new Row(this.panel, id)));
      row.fill();
      const at = this.list.children[i] ?? null;
      if (at !== row.el) this.list.insertBefore(row.el, at);
    });
  }
}

export class Panel extends Widget {
  selected = "";
  private found = "";
  private project = h("span.b.cut");
  private money = h("span.f2.t12.nw");
  private badge = h("b");
  private asks: Asks;
  private inbox: HTMLElement;
  private find = h("input.field", { type: "search", placeholder: "Find a run", "aria-label": "Find a run" });
  private said = h("p.rv-say", { role: "status", hidden: true });
  private none = h("p.pad.f2", { hidden: true }, ...coded("No run here yet. `%%paseo AGENT` in a cell starts one."));
  private groups: Group[];
  private hush: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setInterval>;

  constructor(
    readonly store: Store,
    /** Carries out one of a row's actions; why it did not work, or nothing. */
    private carry: (action: string, run: string) => Promise<string>,
  ) {
    super();
    this.id = "paseo-nb-panel";
    this.title.icon = paseoIcon;
    this.title.caption = "Coding agents";
    this.addClass("paseo-nb-panel");
    this.asks = new Asks(store as any);
    this.asks.el.classList.add("asks");
    this.inbox = h("section.ibx", { "aria-label": "Permissions inbox", hidden: true }, h("h3", null, icon("waiting"), "Waiting for you ", this.badge), this.asks.el);
    this.groups = GROUPS.map(([name, word, glyph]) => new Group(this, name, word, glyph));
    this.find.addEventListener("input", () => {
      this.found = this.find.value.trim().toLowerCase();
      this.fill();
    });
    const page = h(
      "article.pn.pnl",
      { onkeydown: (e: KeyboardEvent) => this.key(e) }, // Lab's own shortcuts go on: they have modifiers
      h("header.ph", null, this.project, h("span.grow"), this.money),
      this.inbox,
      h("label.find", null, icon("search"), this.find),
      this.said,
      ...this.groups.map((group) => group.el),
      this.none,
    );
    this.node.appendChild(page);
    this.timer = setInterval(() => this.tick(), 1000);
    store.watchers.add(() => this.fill());
    this.fill();
  }

  /** What was made while nobody saw it has no height yet. */
  protected override onAfterShow(): void {
    for (const area of this.node.querySelectorAll("textarea")) grow(area, 200);
  }

  override dispose(): void {
    clearInterval(this.timer);
    super.dispose();
  }

  fill(): void {
    const { store } = this;
    const waiting = store.asks.length;
    say(this.project, oneLine(store.head.project, 60) || "Runs");
    const [today, all] = [num(store.head.today_usd), num(store.head.cost_usd)];
    say(this.money, all === null ? "" : `${money(today ?? 0)} today`);
    this.inbox.hidden = waiting === 0;
    say(this.badge, String(waiting));
    const { "paseo-waiting": told, ...others } = this.title.dataset;
    if (told !== (waiting ? String(waiting) : undefined)) {
      this.title.dataset = waiting ? { ...others, "paseo-waiting": String(waiting) } : others;
      this.title.caption = waiting ? `Coding agents: ${waiting} waiting for you` : "Coding agents";
    }
    this.asks.update();
    const ids = [...store.lines.keys()].filter((id) => this.fits(id));
    for (const group of this.groups) group.fill(ids.filter((id) => store.lines.get(id)?.group === group.name));
    this.none.hidden = !store.synced || store.lines.size > 0;
    const first = this.node.querySelector("li.pr");
    for (const li of this.node.querySelectorAll<HTMLElement>("li.pr")) attr(li, "tabindex", li.dataset.run === this.selected || (!this.selected && li === first) ? "0" : "-1");
    if (store.trouble) this.tell(store.trouble, true);
    else if (this.said.dataset.stays === "true") this.said.hidden = true;
  }

  private fits(id: string): boolean {
    const line = this.store.lines.get(id);
    return !this.found || [line?.title, line?.agent, line?.branch, line?.short, line?.note, line?.project].some((text) => str(text).toLowerCase().includes(this.found));
  }

  private tick(): void {
    if (!this.isVisible) return;
    for (const group of this.groups) for (const row of group.rows.values()) row.tick();
    this.asks.tick();
  }

  /** @param stays until it is not so any more */
  tell(text: string, stays = false): void {
    this.said.replaceChildren(...coded(text.slice(0, 600)));
    this.said.hidden = false;
    this.said.dataset.stays = String(stays);
    clearTimeout(this.hush);
    if (!stays) this.hush = setTimeout(() => (this.said.hidden = true), 10_000);
  }

  select(id: string): void {
    this.selected = id;
    this.fill();
    const row = this.rowOf(id);
    if (row && !row.el.contains(document.activeElement)) row.el.focus({ preventScroll: true });
    row?.el.scrollIntoView({ block: "nearest" });
  }

  async open(action: string, id: string): Promise<void> {
    this.selected = id;
    const said = await this.carry(action, id);
    if (!said) return this.fill();
    this.tell(`${oneLine(this.store.lines.get(id)?.title, 60) || "Run"}: ${said}`);
    this.rowOf(id)?.again();
  }

  /** To a run's question, or to the first one. */
  answer(run = ""): void {
    const at = run ? this.store.asks.findIndex((ask) => ask.run === run) : 0;
    const ask = this.asks.el.querySelectorAll(".ask")[at] as HTMLElement | undefined;
    ask?.scrollIntoView({ block: "nearest" });
    ask?.focus();
  }

  private rowOf(id: string): Row | undefined {
    return this.groups.map((group) => group.rows.get(id)).find(Boolean);
  }

  private key(e: KeyboardEvent): void {
    const target = e.target as HTMLElement;
    if (e.ctrlKey || e.metaKey || e.altKey || /^(TEXTAREA|INPUT|SELECT)$/.test(target.tagName)) {
      if (target === this.find && (e.key === "Escape" || e.key === "Enter")) this.node.querySelector<HTMLElement>("li.pr")?.focus();
      return;
    }
    const ids = [...this.node.querySelectorAll<HTMLElement>("li.pr")].map((li) => li.dataset.run ?? "");
    const at = ids.indexOf(target.closest("li.pr")?.getAttribute("data-run") ?? "");
    if (e.key === "j" || e.key === "ArrowDown") this.select(ids[Math.min(at + 1, ids.length - 1)] ?? "");
    else if (e.key === "k" || e.key === "ArrowUp") this.select(ids[Math.max(at - 1, 0)] ?? "");
    else if (e.key === "/") this.find.focus();
    else if (e.key === "Enter" && at >= 0 && target.tagName === "LI") void this.open("attach", ids[at]);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }
}
