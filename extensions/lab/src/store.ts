/**
 * The board of a project, and of others that are shown with it, as the server tells it as soon as
 * something changes; and what is asked of their runs. Knows nothing of the page. The run view's questions (`Asks`) take it for theirs.
 */

import { list, num, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import { Json, Refused, Server } from "./server";

export interface Answer {
  ok: boolean;
  said: string;
}

const REST_MS = [1000, 2000, 5000, 10_000, 30_000]; // between two looks for a server that is gone

export class Store {
  readonly name = Math.random().toString(36).slice(2, 8);
  readonly frozen = false;
  head: Json = { can: { edit_input: true } };
  lines = new Map<string, Json>();
  asks: Json[] = [];
  synced = false;
  /** Why nothing is heard; empty while it is. */
  trouble = "";
  server = new Server("");
  readonly watchers = new Set<() => void>();
  private skew_ms = 0;
  private also: string[] = [];
  private known = 0;
  private stop = new AbortController();
  private closed = false;

  constructor() {
    void this.listen();
  }

  close(): void {
    this.closed = true;
    this.stop.abort();
  }

  /** Look at another project; `also`: at these, too. */
  about(project: string, also: string[]): void {
    const same = project === this.server.project;
    if (same && also.join("\n") === this.also.join("\n")) return;
    this.also = also;
    this.known = 0;
    this.stop.abort();
    if (same) return;
    this.server = new Server(project);
    this.lines.clear();
    this.asks = [];
    this.synced = false;
    this.tell();
  }

  /** Where a run is asked about. */
  serverOf(run: string): Server {
    const project = str(this.lines.get(run)?.project);
    return project ? new Server(project) : this.server;
  }

  now_us(): number {
    return (Date.now() - this.skew_ms) * 1000;
  }

  /** Has something done with a run. `permission` is a question's id in the board, or only the agent's. */
  async act(verb: string, fields: Json, slow?: () => void): Promise<Answer> {
    const [run, permission] = str(fields.permission).split(/:(.*)/s);
    return this.do(run, verb, { ...fields, permission }, slow);
  }

  async do(run: string, verb: string, fields: Json = {}, slow?: () => void): Promise<Answer> {
    const timer = setTimeout(() => slow?.(), 3000);
    try {
      const told = await this.serverOf(run).post(`runs/${encodeURIComponent(run)}/act`, { ...fields, verb });
      return { ok: told.ok === true, said: str(told.said) };
    } catch (error) {
      return { ok: false, said: error instanceof Refused ? error.message : "That did not work." };
    } finally {
      clearTimeout(timer);
    }
  }

  private async listen(): Promise<void> {
    let failed = 0;
    while (!this.closed) {
      const { server, stop } = this;
      try {
        const told = await server.get("board", { known: this.known, also: this.also, no_track_activity: 1 }, stop.signal);
        failed = 0;
        if (server === this.server) this.take(told);
      } catch (error) {
        if (stop.signal.aborted) {
          this.stop = new AbortController();
          failed = 0;
          continue;
        }
        this.trouble = error instanceof Refused ? error.message : "The server does not answer.";
        this.known = 0;
        this.tell();
        await new Promise((over) => setTimeout(over, REST_MS[Math.min(failed++, REST_MS.length - 1)]));
      }
    }
  }

  private take(told: Json): void {
    const now = num(told.now_us);
    if (now !== null) this.skew_ms = Date.now() - now / 1000;
    const same = told.n === this.known && this.trouble === "";
    this.trouble = "";
    if (same) return;
    this.known = num(told.n) ?? 0;
    this.head = { ...told.head, can: { edit_input: true } };
    this.lines = new Map(list(told.lines).map((line) => [str(line?.id), line as Json]));
    this.asks = list(told.asks)
      .filter((ask) => ask && typeof ask === "object")
      .map((ask) => ({ ...ask, why: [str(ask.about), str(ask.why)].filter(Boolean).join(" ") }));
    this.synced = true;
    this.tell();
  }

  private tell(): void {
    for (const watcher of this.watchers) watcher();
  }
}
