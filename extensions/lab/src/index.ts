/** The plugin: it makes the parts, and joins them with commands, palette, launcher and settings. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, InputDialog, Notification } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { oneLine, str } from "../../../paseo_nb/widgets/run_view/src/text.js";
import { paseoIcon } from "./icon";
import { attach, folderOf, Revival, Revive } from "./notebooks";
import { Panel } from "./panel";
import type { Json, Server } from "./server";
import { Store } from "./store";
import { Tabs } from "./tabs";
import { Toasts } from "./toasts";

const ID = "paseo-nb:plugin";
const CATEGORY = "Coding agents";
const NEEDS_RUN: [string, string, (line: Json) => boolean][] = [
  ["attach", "Attach a run in this notebook", () => true],
  ["stop", "Stop a run", (line) => line.busy === true],
  ["resume", "Resume a run", (line) => Array.isArray(line.can) && line.can.includes("resume")],
  ["diff", "Show a run's diff", () => true],
  ["trace", "Show a run's trace", () => true],
  ["archive", "Put a run away", (line) => line.busy !== true],
];

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Runs of coding agents: a panel, toasts, diffs and traces, and live outputs.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ILauncher, ISettingRegistry, ILayoutRestorer],
  activate(app: JupyterFrontEnd, tracker: INotebookTracker, palette: ICommandPalette | null, launcher: ILauncher | null, registry: ISettingRegistry | null, restorer: ILayoutRestorer | null): void {
    const style = document.createElement("style");
    style.textContent = PANEL_CSS;
    document.head.append(style);

    let settings: Record<string, unknown> = {};
    const store = new Store();
    const tabs = new Tabs(app);

    const carry = async (action: string, run: string): Promise<string> => {
      const line = store.lines.get(run) ?? {};
      if (action === "attach") {
        const said = await attach(tracker.currentWidget, run, settings.runAttached !== false, store.serverOf(run), folder);
        if (!said && tracker.currentWidget) app.shell.activateById(tracker.currentWidget.id);
        return said;
      }
      if (action === "diff" || action === "trace") return tabs.show(action, store.serverOf(run), run, line), "";
      if (action === "answer") return show(), panel.answer(run), "";
      if (action === "show") return show(), panel.select(run), "";
      const answer = await store.do(run, action);
      return answer.ok ? "" : answer.said || "That did not work.";
    };
    const panel = new Panel(store, carry);
    const show = () => app.shell.activateById(panel.id);
    app.shell.add(panel, "left", { rank: 300 });
    restorer?.add(panel, panel.id);

    const command = (name: string, label: string, execute: (args: Json) => unknown) => {
      app.commands.addCommand(`paseo-nb:${name}`, { label, icon: name === "show" ? paseoIcon : undefined, execute });
      palette?.addItem({ command: `paseo-nb:${name}`, category: CATEGORY });
    };
    command("show", "Coding agents", show);
    command("answer", "Answer what a run asks", () => (show(), panel.answer()));
    command("revive", "Make this notebook's outputs of runs live", () => revival.all());
    for (const [name, label, fits] of NEEDS_RUN)
      command(name, label, async (args) => {
        const run = str(args.run) || (await chosen(store, label, fits, panel.selected));
        const said = run && (await carry(name, run));
        if (said) Notification.emit(said, "warning", { autoClose: 8000 });
      });
    launcher?.add({ command: "paseo-nb:show", category: "Other", rank: 0 });

    const folder = (notebook: NotebookPanel) => folderOf(app.serviceManager.contents.localPath(notebook.context.path));
    const named = () => str(settings.project).replace(/^\/+|\/+$/g, "");
    const where = (notebook: NotebookPanel | null) => named() || (notebook ? folder(notebook) : "");
    const follow = () => {
      const project = where(tracker.currentWidget);
      store.about(project, named() ? [] : revival.projects().filter((one) => one !== project));
    };
    tracker.currentChanged.connect(follow);
    const go = (action: string, run: string, line: Json, server: Server) => {
      if (action === "diff" || action === "trace") tabs.show(action, server, run, line);
    };
    const revival = new Revival(tracker, store, { where, folder, follow }, () => (["auto", "off"].includes(str(settings.revive)) ? (settings.revive as Revive) : "button"), go);
    new Toasts(store, () => ({ finished: settings.notifyFinished !== false, waiting: settings.notifyWaiting !== false }), (action, run) => void carry(action, run));

    void registry?.load(ID).then((loaded) => {
      const take = () => {
        settings = loaded.composite;
        follow();
      };
      loaded.changed.connect(take);
      take();
    });
    follow();
  },
};

/** Which run is meant: the one that is selected, where that fits, else one that is picked. */
async function chosen(store: Store, title: string, fits: (line: Json) => boolean, selected: string): Promise<string> {
  const lines = [...store.lines.values()].filter(fits);
  if (lines.some((line) => line.id === selected)) return selected;
  if (!lines.length) {
    Notification.emit("There is no such run in this project.", "info", { autoClose: 5000 });
    return "";
  }
  const items = lines.slice(0, 100).map((line) => `${oneLine(line.short, 12)}  ${oneLine(line.title, 70)}`);
  const answer = await InputDialog.getItem({ title, items, okLabel: "Take it" });
  return answer.button.accept && answer.value !== null ? str(lines[items.indexOf(answer.value)]?.id) : "";
}

export default plugin;
