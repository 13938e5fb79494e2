/**
 * Notebooks: a run attached by a cell, and outputs of earlier runs made live again, in their place.
 *
 * A frozen output names its run in its metadata, and the folder of the run's project where that is not
 * the notebook's own. Anybody may have written that: it is only ever used to ask our server, and goes
 * into code only as an id; a folder goes there as the server tells it. Code runs on a click, or where the setting says
 * so.
 */

import { Notification } from "@jupyterlab/apputils";
import { Cell, INotebookTracker, NotebookActions, NotebookPanel } from "@jupyterlab/notebook";
import { h, icon, say } from "../../../paseo_nb/widgets/run_view/src/dom.js";
import { oneLine, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import { Endings } from "./endings";
import { Json, Refused, Server } from "./server";
import type { Store } from "./store";

const ID = /^[0-9A-Z]{20,64}$/;
const VIEW = "application/vnd.jupyter.widget-view+json";
const TICK_MS = 1500;
const MOST = 8; // other projects that are shown
const LOADING = 3; // ticks in which a live view may come up
const SHAPES: Record<string, string> = { idle: "done", error: "failed", starting: "running", unresponsive: "interrupted" };
const BUSY = ["starting", "running", "waiting"];

export type Revive = "button" | "auto" | "off";

/** The folder that a notebook lies in, as the server names it. */
export const folderOf = (path: string): string => path.replace(/^\/+/, "").split("/").slice(0, -1).join("/");

/** A folder as another one sees it; nothing where it is outside of the server's. */
function resolved(from: string, path: string): string | null {
  const parts = from ? from.split("/") : [];
  for (const part of path.split("/")) {
    if (part === ".." && !parts.length) return null;
    if (part === "..") parts.pop();
    else if (part && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** The code that shows a run, in a kernel that may stand in another project. */
async function attaching(run: string, server: Server, own: string): Promise<string> {
  const there = server.project === own ? "" : str((await server.get("about")).project);
  return `.attach("${run}"${there ? `, project=${JSON.stringify(there)}` : ""})`;
}

/** Insert a cell that shows a run; why that cannot be, or nothing. */
export async function attach(panel: NotebookPanel | null, run: string, runIt: boolean, server: Server, folder: (panel: NotebookPanel) => string): Promise<string> {
  if (!panel || panel.isDisposed) return "Open a notebook first: the run is shown in a cell of it.";
  if (!ID.test(run)) return "This is no run.";
  let code: string;
  try {
    code = await attaching(run, server, folder(panel));
  } catch (error) {
    return error instanceof Refused ? error.message : "That did not work.";
  }
  if (panel.isDisposed) return "";
  const notebook = panel.content;
  NotebookActions.insertBelow(notebook);
  notebook.activeCell?.model.sharedModel.setSource(`import paseo_nb as paseo\npaseo${code}`);
  if (runIt && panel.sessionContext.session?.kernel) void NotebookActions.run(notebook, panel.sessionContext);
  return "";
}

/** What stands below a frozen output: how its run is now, and what can be done. */
class Bar {
  readonly el: HTMLElement;
  private sign = h("span.sg");
  private word = h("span");
  private state = h("span.state", null, this.sign, this.word);
  private shape = "";
  readonly button = h("button.btn", { type: "button" }, icon("again"), "Make live");

  constructor(run: string, go: (action: string) => void) {
    this.button.addEventListener("click", () => go("revive"));
    const quiet = (name: string, face: string) => h("button.btn.quiet", { type: "button", onclick: () => go(name) }, icon(name), face);
    this.el = h("div.pn.paseo-nb-bar", { "data-run": run, hidden: true }, this.state, h("span.grow"), this.button, quiet("diff", "Diff"), quiet("trace", "Trace"));
  }

  fill(line: Json): void {
    const shape = str(line.shape);
    if (shape !== this.shape) {
      this.shape = shape;
      this.state.className = `state st-${shape}`;
      this.sign.replaceChildren(icon(shape, shape === "running" ? "spin" : ""));
    }
    say(this.word, `${oneLine(line.word, 40)}${line.busy === true ? " now" : ""}`);
    this.el.hidden = false;
  }
}

/** The frozen outputs of one notebook. */
class Frozen {
  private bars = new Map<Cell, { run: string; server: Server; bar: Bar; line: Json | null; asked: boolean }>();
  /** The folders of other projects that outputs name. */
  projects: string[] = [];
  private age = new Map<Cell, number>();
  private tried = new Set<string>();
  private timer = setInterval(() => this.tick(), TICK_MS);
  private servers = new Map<string, Server>();
  private endings: Endings;

  constructor(
    private panel: NotebookPanel,
    private store: Store,
    private places: Places,
    private wanted: () => Revive,
    private go: (action: string, run: string, line: Json, server: Server) => void,
  ) {
    this.endings = new Endings((metadata) => this.serverOf(named(metadata)), (run, metadata) => this.lineOf(run, this.serverOf(named(metadata))));
    panel.disposed.connect(() => clearInterval(this.timer));
  }

  /** Make all of them live. */
  async all(): Promise<void> {
    for (const [cell, { run }] of [...this.bars]) await this.revive(cell, run);
  }

  tick(): void {
    const cells = this.wanted() === "off" || this.panel.isDisposed ? [] : this.panel.content.widgets;
    for (const [cell, { bar }] of this.bars)
      if (!cells.includes(cell) || cell.isDisposed) {
        bar.el.remove();
        this.bars.delete(cell);
      }
    if (!this.panel.isVisible) return;
    this.name();
    for (const cell of cells) if (cell.model?.type === "code" && cell.outputArea) this.look(cell);
  }

  private name(): void {
    const own = this.places.folder(this.panel);
    const named = this.panel.content.widgets.map((cell) => cell.model?.type === "code" && resolved(own, runOf(cell)?.project ?? ""));
    const projects = [...new Set(named)].filter((one): one is string => typeof one === "string" && one !== own).sort();
    if (projects.join("\n") === this.projects.join("\n")) return;
    this.projects = projects;
    this.places.follow();
  }

  private look(cell: Cell): void {
    const { node } = cell.outputArea;
    const found = runOf(cell);
    const loading = found?.live ? (this.age.get(cell) ?? 0) : LOADING;
    if (found?.live) this.age.set(cell, loading + 1);
    else this.age.delete(cell);
    const alive = node.querySelector(".paseo-alive") !== null;
    if (alive) this.age.delete(cell);
    if (found) this.endings.look(cell, namesRun, alive);
    const shown = this.bars.get(cell);
    if (!found || alive || loading < LOADING) {
      shown?.bar.el.remove();
      this.bars.delete(cell);
      return;
    }
    if (shown?.run === found.run) {
      if (!node.contains(shown.bar.el)) node.append(shown.bar.el);
      const line = this.lineOf(found.run, shown.server);
      if (line) shown.line = line;
      if (shown.line) shown.bar.fill(shown.line);
      return;
    }
    shown?.bar.el.remove();
    const { run, project } = found;
    const server = this.serverOf(project);
    const bar = new Bar(run, (action) => (action === "revive" ? void this.revive(cell, run) : this.go(action, run, this.bars.get(cell)?.line ?? {}, server)));
    this.bars.set(cell, { run, server, bar, line: null, asked: false });
    node.append(bar.el);
    void this.ask(cell, run, server, bar);
  }

  /** Where runs of a project are asked about, by its name in an output's metadata. */
  private serverOf(named: string): Server {
    const { folder, where } = this.places;
    const project = (named ? resolved(folder(this.panel), named) : null) ?? where(this.panel);
    let server = this.servers.get(project);
    if (!server) this.servers.set(project, (server = new Server(project)));
    return server;
  }

  private lineOf(run: string, server: Server): Json | undefined {
    return server.project === this.store.serverOf(run).project ? this.store.lines.get(run) : undefined;
  }

  /** How the run stands; a run that is not here has no bar. */
  private async ask(cell: Cell, run: string, server: Server, bar: Bar): Promise<void> {
    try {
      const told = (await server.get(`runs/${run}`, { no_track_activity: 1 })).run ?? {};
      const state = str(told.state);
      const mine = this.bars.get(cell);
      if (mine?.bar !== bar) return;
      const shape = state === "idle" && told.error ? "failed" : (SHAPES[state] ?? state);
      mine.line ??= { shape, word: WORDS[shape] ?? state, busy: BUSY.includes(state), title: told.title, branch: told.branch };
      bar.fill(mine.line);
      if (this.wanted() === "auto" && mine.line.busy === true && !this.tried.has(run)) {
        this.tried.add(run);
        await this.panel.sessionContext.ready;
        await this.revive(cell, run, true);
      }
    } catch {
      bar.el.hidden = true;
    }
  }

  /** One line in the notebook's kernel, whose output takes the place of this one. */
  private async revive(cell: Cell, run: string, quietly = false): Promise<void> {
    const kernel = this.panel.sessionContext.session?.kernel;
    const shown = this.bars.get(cell);
    if (!kernel || kernel.status === "dead") {
      if (!quietly) Notification.emit("This notebook has no kernel that could show the run live. Start one (Kernel menu), then try again.", "info");
      return;
    }
    if (!ID.test(run) || !shown || shown.bar.button.disabled) return;
    shown.bar.button.disabled = true;
    const { outputs, trusted } = cell.model;
    const before = outputs.toJSON();
    // What a stranger wrote stays untrusted, and a widget is shown in a trusted cell only.
    const others = before.filter((one) => !namesRun(one?.metadata) && !isEmpty(one) && (trusted || one?.output_type === "stream"));
    let trouble = "";
    try {
      const code = await attaching(run, shown.server, this.places.folder(this.panel));
      const future = kernel.requestExecute({ code: `__import__("IPython").display.display(__import__("paseo_nb")${code})`, silent: false, store_history: false, allow_stdin: true, stop_on_error: false }, false); // the future is kept: it hears of later updates
      cell.outputArea.future = future; // clears it
      cell.model.trusted = true;
      for (const one of others) outputs.add(one);
      const { content } = await future.done;
      if (content.status !== "ok") trouble = str(content.evalue) || str(content.ename) || "The kernel could not show it.";
    } catch (error) {
      trouble = error instanceof Refused ? error.message : "The kernel ended before it could show the run.";
    }
    shown.bar.button.disabled = false;
    if (!trouble || cell.isDisposed) return;
    outputs.fromJSON([]);
    cell.model.trusted = trusted;
    outputs.fromJSON(before);
    Notification.emit(oneLine(trouble, 300), "error");
  }
}

const WORDS: Record<string, string> = { running: "Running", waiting: "Waiting for you", done: "Done", failed: "Failed", interrupted: "Interrupted", stopped: "Stopped", archived: "Archived" };

/** What the kernel leaves of an output that it takes back. */
const isEmpty = (output: any): boolean => output?.data !== undefined && Object.keys(output.data).length === 0;

const named = (metadata: any): string => {
  const { project } = metadata?.paseo_nb ?? {};
  return typeof project === "string" && project.length < 1000 && !/^\/|[\0\n]/.test(project) ? project : "";
};

const namesRun = (metadata: any): string => {
  const run = metadata?.paseo_nb?.run_id;
  return typeof run === "string" && ID.test(run) ? run : "";
};

/** The run of a cell's output, the folder that is named as its project, and whether it was live when
 * it was saved. */
function runOf(cell: Cell): { run: string; project: string; live: boolean } | null {
  const { outputs } = cell.model;
  let run = "";
  let project = "";
  let live = false;
  for (let i = 0; i < outputs.length; i++) {
    const one = outputs.get(i);
    const id = namesRun(one.metadata);
    if (!id) continue;
    run = id;
    project = named(one.metadata);
    live ||= VIEW in one.data;
  }
  return run ? { run, project, live } : null;
}

/** Where a notebook is, and the project that is shown with it; `follow`: what outputs name has changed. */
interface Places {
  where: (panel: NotebookPanel) => string;
  folder: (panel: NotebookPanel) => string;
  follow: () => void;
}

export class Revival {
  private panels = new Map<NotebookPanel, Frozen>();

  constructor(
    private tracker: INotebookTracker,
    store: Store,
    places: Places,
    wanted: () => Revive,
    go: (action: string, run: string, line: Json, server: Server) => void,
  ) {
    const watch = (panel: NotebookPanel) =>
      void panel.context.ready.then(() => {
        if (panel.isDisposed || this.panels.has(panel)) return;
        const made = new Frozen(panel, store, places, wanted, go);
        this.panels.set(panel, made);
        made.tick();
        panel.disposed.connect(() => {
          this.panels.delete(panel);
          places.follow();
        });
      });
    tracker.forEach(watch);
    tracker.widgetAdded.connect((_, panel) => watch(panel));
  }

  /** The folders of other projects that outputs of the open notebooks name. */
  projects(): string[] {
    return [...new Set([...this.panels.values()].flatMap((one) => one.projects))].slice(0, MOST).sort();
  }

  /** Make the outputs of the notebook in front live. */
  async all(): Promise<void> {
    const panel = this.tracker.currentWidget;
    if (panel) await this.panels.get(panel)?.all();
  }
}
