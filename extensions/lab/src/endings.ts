/**
 * The end of a run, for outputs that were left behind: a page that was reloaded in mid-turn gets no
 * update of a display any more (JupyterLab drops those of cells that it did not run itself), so what it
 * saves would say "Running" for ever. Once such a run is no longer at work, its end is asked of our
 * server and put where the output stands. A live view stays: only the HTML beside it is another one.
 */

import type { Cell, Output } from "@jupyterlab/notebook";
import { str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import type { Json, Server } from "./server";

const FORMS = ["text/html", "text/markdown", "text/plain"];
const BUSY = ["starting", "running", "waiting", "unresponsive"];
const REST_MS = 6000; // a kernel that can will have said it by then; between two looks, too
const LOST_MS = 120_000; // where our server does not know the run

export class Endings {
  private next = new Map<string, number>();
  private more = new Set<string>();

  /**
   * @param server where the run of an output's metadata is asked about
   * @param line a run as the board tells it, where it does
   */
  constructor(
    private server: (metadata: unknown) => Server,
    private line: (run: string, metadata: unknown) => Json | undefined,
  ) {}

  /** Have a look at a cell; `named` tells the run of an output's metadata. */
  look(cell: Cell, named: (metadata: unknown) => string, alive: boolean): void {
    const { outputs } = cell.model;
    for (let i = 0; i < outputs.length; i++) {
      const output = outputs.get(i);
      const run = named(output.metadata);
      if (!run || !html(output).includes("data-paseo-run=")) continue; // as a cell that let it go on behind
      const busy = this.line(run, output.metadata)?.busy === true;
      // A live view takes further turns; what was frozen tells of those that it had.
      if (busy && alive) this.more.add(run);
      if (busy || !(says(output) || (alive && this.more.has(run)))) this.next.delete(`${cell.model.id} ${i}`);
      else this.soon(cell, i, run, named);
    }
  }

  private soon(cell: Cell, i: number, run: string, named: (metadata: unknown) => string): void {
    const place = `${cell.model.id} ${i}`;
    const due = this.next.get(place);
    if (due === undefined || Date.now() >= due) this.next.set(place, Date.now() + REST_MS);
    if (due !== undefined && Date.now() >= due) void this.end(cell, i, run, named);
  }

  private async end(cell: Cell, i: number, run: string, named: (metadata: unknown) => string): Promise<void> {
    const { outputs } = cell.model;
    const before = outputs.get(i);
    const beside = html(before).includes("data-paseo-beside=");
    let told: Json;
    try {
      told = await this.server(before.metadata).get(`runs/${run}/story`, { beside: beside ? 1 : 0, no_track_activity: 1 });
    } catch {
      this.next.set(`${cell.model.id} ${i}`, Date.now() + LOST_MS);
      return;
    }
    const now = cell.isDisposed || i >= outputs.length ? null : outputs.get(i);
    if (told.busy !== false || now === null || named(now.metadata) !== run || html(now) !== html(before)) return;
    const data = Object.fromEntries(FORMS.map((form) => [form, str(told.data?.[form])]));
    this.more.delete(run);
    const about = { ...(before.metadata as any).paseo_nb, ...told.metadata?.paseo_nb }; // where it is stays
    outputs.set(i, { ...now.toJSON(), data, metadata: { ...told.metadata, paseo_nb: about } });
  }
}

const html = (output: Output): string => [output.data["text/html"]].flat().join("");
const says = (output: Output): boolean => BUSY.includes(str((output.metadata as any)?.paseo_nb?.state));
