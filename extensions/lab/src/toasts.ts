/** Toasts for what happens while the page is open: a run is over, a run waits. JupyterLab shows their
 * words as text. */

import { Notification } from "@jupyterlab/apputils";
import { num, oneLine, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import type { Json } from "./server";
import type { Store } from "./store";

export interface Wanted {
  finished: boolean;
  waiting: boolean;
}

type Kind = "success" | "error" | "warning" | "info";
const KINDS: Record<string, Kind> = { done: "success", failed: "error", interrupted: "warning" };
const CLOSE_MS = 8000;
const MOST = 3; // at once; more are told together

export class Toasts {
  private busy = new Set<string>();
  private asked = new Map<string, string>();
  private known = new Set<string>();
  private since_us = 0;
  private server: unknown = null;

  constructor(
    private store: Store,
    private wanted: () => Wanted,
    private go: (action: string, run: string) => void,
  ) {
    store.watchers.add(() => this.look());
  }

  private look(): void {
    const { store } = this;
    if (!store.synced) return;
    const fresh = this.server !== store.server;
    this.server = store.server;
    const busy = new Set([...store.lines].filter(([, line]) => line.busy === true).map(([id]) => id));
    const asks = new Map(store.asks.map((ask) => [str(ask.id), ask]));
    if (fresh) this.since_us = store.now_us();
    else {
      const over = [...store.lines].filter(([id, line]) => !busy.has(id) && (this.busy.has(id) || this.isNew(id, line)));
      if (over.length <= MOST) over.forEach(([, line]) => this.over(line));
      else if (this.wanted().finished) Notification.emit(`${over.length} runs are over`, "info", { autoClose: CLOSE_MS });
      for (const [id, ask] of asks) if (!this.asked.has(id)) this.waits(id, ask);
    }
    for (const [id, toast] of this.asked) {
      if (asks.has(id)) continue;
      if (toast) Notification.dismiss(toast);
      this.asked.delete(id);
    }
    if (fresh) for (const id of asks.keys()) this.asked.set(id, "");
    this.busy = busy;
    this.known = new Set(store.lines.keys());
  }

  /** Begun and over between two looks. */
  private isNew(id: string, line: Json): boolean {
    return !this.known.has(id) && (num(line.at_us) ?? 0) > this.since_us;
  }

  private over(line: Json): void {
    if (!this.wanted().finished) return;
    const word = oneLine(line.word, 30) || "Over";
    const said = [`${word}: ${oneLine(line.title, 80)}`, oneLine(line.note, 140)].filter(Boolean).join("\n");
    const id = str(line.id);
    Notification.emit(said, KINDS[str(line.shape)] ?? "info", {
      autoClose: CLOSE_MS,
      actions: [{ label: "Show", callback: () => this.go("show", id) }],
    });
  }

  private waits(id: string, ask: Json): void {
    this.asked.set(id, "");
    if (!this.wanted().waiting) return;
    const run = str(ask.run);
    const title = oneLine(this.store.lines.get(run)?.title, 80);
    const said = [`Waiting for you: ${title}`, oneLine(`${str(ask.question)} ${str(ask.subject)}`, 160)].join("\n");
    const toast = Notification.emit(said, "warning", {
      autoClose: false,
      actions: [{ label: "Answer", callback: () => this.go("answer", run), displayType: "accent" }],
    });
    this.asked.set(id, toast);
  }
}
