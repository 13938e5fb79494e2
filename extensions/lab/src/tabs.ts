/** A run's diff and its trace, each in a tab of the main area. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { MainAreaWidget } from "@jupyterlab/apputils";
import { Widget } from "@lumino/widgets";
import trace from "../../../paseo_nb/widgets/trace/trace.js";
import { counts, diffBody } from "../../../paseo_nb/widgets/run_view/src/diff.js";
import { h, icon } from "../../../paseo_nb/widgets/run_view/src/dom.js";
import { list, num, oneLine, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import { count, plural } from "../../../paseo_nb/widgets/run_view/src/units.js";
import { paseoIcon } from "./icon";
import type { Json, Server } from "./server";

const LIVE_MS = 2000;
const SHARE = 0.1; // of the time, at most, that reading a live trace may take
const FILES = 300;
const STATUS: Record<string, string> = { A: "added", D: "deleted", R: "renamed", T: "of another kind" };

class Page extends Widget {
  constructor(
    readonly el: HTMLElement,
    readonly look: () => void,
    private end: () => void = () => undefined,
  ) {
    super();
    this.addClass("paseo-nb-tab");
    this.node.appendChild(el);
  }

  override dispose(): void {
    this.end();
    super.dispose();
  }
}

export class Tabs {
  private open = new Map<string, MainAreaWidget<Page>>();

  constructor(private app: JupyterFrontEnd) {}

  show(kind: "diff" | "trace", server: Server, run: string, line: Json): void {
    const id = `paseo-nb-${kind}-${run}`;
    let tab = this.open.get(id);
    if (!tab || tab.isDisposed) {
      tab = new MainAreaWidget({ content: kind === "diff" ? diffPage(server, run, line) : tracePage(server, run) });
      tab.id = id;
      const name = oneLine(line.short, 20) || run.slice(0, 10);
      tab.title.label = `${kind === "diff" ? "Diff" : "Trace"} ${name}`;
      tab.title.caption = oneLine(line.title, 120);
      tab.title.icon = paseoIcon;
      tab.title.closable = true;
      this.open.set(id, tab);
      tab.disposed.connect(() => void this.open.delete(id));
    } else tab.content.look();
    if (!tab.isAttached) this.app.shell.add(tab, "main");
    this.app.shell.activateById(id);
  }
}

function diffPage(server: Server, run: string, line: Json): Page {
  const about = h("span.f2.t12", { role: "status" });
  const files = h("div.calls");
  const look = async () => {
    about.textContent = "Reading the changes…";
    try {
      const told = await server.get(`runs/${run}/changes`);
      const changed = list(told.files);
      const sum = (name: string) => changed.reduce((all, file) => all + (num(file?.[name]) ?? 0), 0);
      about.replaceChildren(...(changed.length ? [`${plural(changed.length, "file")} `, counts(sum("added"), sum("removed"))] : [oneLine(told.said, 300) || "Nothing changed."]));
      if (changed.length > FILES) about.append(`, the first ${count(FILES)} shown`);
      files.replaceChildren(...changed.slice(0, FILES).map((file, i) => fileOf(file, changed.length <= 5 || i === 0)));
    } catch (error) {
      about.textContent = error instanceof Error ? error.message : "That did not work.";
    }
  };
  const again = h("button.btn.quiet", { type: "button", onclick: () => void look() }, icon("again"), "Look again");
  const title = [oneLine(line.title, 90) || "Run", oneLine(line.branch, 80)].filter(Boolean);
  const el = h("article.pn.tab", null, h("header.ph", null, h("span.b.cut", null, title[0]), h("span.f2.t12.cut", null, title[1] ?? ""), h("span.grow"), about, again), files);
  void look();
  return new Page(el, () => void look());
}

function fileOf(file: Json, open: boolean): HTMLElement {
  const body = h("div");
  const details = h("details.call", { open }, h("summary", null, icon("chev", "s12 chev"), h("span.tgt.cut.mono", null, oneLine(file?.path, 300)), h("span.f2.t12", null, STATUS[str(file?.status)[0]] ?? ""), h("span.r", null, counts(file?.added, file?.removed))), body);
  const fill = () => details.open && !body.firstChild && body.append(diffBody(file));
  details.addEventListener("toggle", fill);
  fill();
  return details;
}

/** The live trace of the notebook, fed from the server in place of a kernel. */
function tracePage(server: Server, run: string): Page {
  const el = h("div.tab");
  const hear: ((message: Json) => void)[] = [];
  const say = (message: Json) => hear.forEach((one) => one(message));
  const trouble = h("p.pn.rv-say", { role: "status", hidden: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let over = false;
  const ask = async (query: Record<string, string>) => {
    try {
      const told = await server.get(`runs/${run}/trace`, query);
      trouble.hidden = true;
      return told;
    } catch (error) {
      trouble.textContent = error instanceof Error ? error.message : "That did not work.";
      trouble.hidden = false;
      return null;
    }
  };
  const look = async () => {
    clearTimeout(timer);
    const began = Date.now();
    const told = document.hidden || !el.isConnected ? null : await ask({});
    if (over) return;
    if (told) say({ k: "trace", n: 1, whole: true, rows: list(told.rows), head: told.head ?? {} });
    if (!told || told.head?.live) timer = setTimeout(() => void look(), Math.max(LIVE_MS, (Date.now() - began) / SHARE));
  };
  const model = {
    on: (_: string, one: (message: Json) => void) => void hear.push(one),
    off: (_: string, one: (message: Json) => void) => void hear.splice(hear.indexOf(one), 1),
    send: async (message: Json) => {
      if (message.k === "open") {
        const told = await ask({ span: str(message.i) });
        if (told?.k === "detail") say(told);
      } else if (message.k === "find") {
        const told = await ask({ find: str(message.text) });
        if (told) say({ k: "found", text: message.text, ids: list(told.ids) });
      }
    },
  };
  const close = trace.render({ model, el });
  el.prepend(trouble);
  setTimeout(() => void look());
  return new Page(el, () => void look(), () => {
    over = true;
    clearTimeout(timer);
    close();
  });
}
