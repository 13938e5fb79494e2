/** The foot of a run: what changed, and the way to it. A button that would do nothing is not there. */

import { counts, diffBody } from "./diff.js";
import { add, coded, h, icon } from "./dom.js";
import { viewOf } from "./embed.js";
import { may } from "./head.js";
import { clean, list, num, oneLine } from "./text.js";
import { plural } from "./units.js";

export class Foot {
  /** @param {import("./store.js").Store} store @param {() => boolean} canFollow @param {() => void} follow */
  constructor(store, canFollow, follow) {
    this.store = store;
    this.canFollow = canFollow;
    this.follow = follow;
    this.what = h("span.what");
    this.links = h("span.links");
    this.panel = h("div.rv-diff", { hidden: true });
    this.bar = h("footer.rv-foot", null, this.what, this.links);
    this.el = h("div", null, this.bar, this.panel);
    this.kept = "";
    this.shows = ""; // what the panel is open for
    /** @type {{el: HTMLElement, remove: () => void} | null} */
    this.inner = null; // the trace's own view
  }

  update() {
    const { head, frozen, busy } = this.store;
    const [files, added, removed] = list(head.diff).map(num);
    const base = oneLine(head.base, 60);
    const follow = this.canFollow();
    const over = !busy && this.store.everSynced;
    const agent = over ? oneLine(head.agent, 60) : "";
    const branch = over ? oneLine(head.branch, 80) : "";
    const told = JSON.stringify([agent, branch, files, added, removed, base, frozen, busy, follow, this.shows, may(head, "trace"), may(head, "undo"), may(head, "apply")]);
    if (this.kept === told) return;
    this.kept = told;
    const focused = /** @type {any} */ (this.links.getRootNode()).activeElement?.dataset?.name;
    this.what.replaceChildren();
    if (agent) add(this.what, h("span", null, agent));
    if (branch) add(this.what, h("span.wide.fl", { title: branch }, icon("branch"), h("span.cut", null, branch)));
    if (files) add(this.what, h("span", null, plural(files, "file"), " ", counts(added, removed)), base && h("span.wide.f3", null, `against ${base}`));
    else if (files === 0) add(this.what, h("span", null, "no file changed"));
    this.links.replaceChildren();
    const button = (/** @type {string} */ name, /** @type {string} */ shape, /** @type {() => void} */ onclick, more = {}) =>
      h("button.btn.quiet", { type: "button", "data-name": name, onclick, ...more }, icon(shape), name);
    add(
      this.links,
      follow && button("Follow up", "prompt", this.follow),
      !frozen && may(head, "trace") && button("Trace", "trace", () => this.open("trace"), { "aria-expanded": String(this.shows === "trace") }),
      over && !frozen && may(head, "undo") && button("Undo turn", "again", () => this.open("undo"), { "aria-expanded": String(this.shows === "undo") }),
      over && !frozen && may(head, "apply") && button("Apply…", "tail", () => this.open("apply"), { "aria-expanded": String(this.shows === "apply") }),
      !!files && !frozen && button("Diff", "diff", () => this.open("diff"), { "aria-expanded": String(this.shows === "diff") }),
    );
    this.bar.hidden = !this.what.firstChild && !this.links.firstChild;
    if (focused) /** @type {any} */ (this.links.querySelector(`[data-name="${focused}"]`))?.focus();
  }

  /** Opens the panel for something, or closes it. @param {string} what */
  open(what) {
    this.shows = this.shows === what ? "" : what;
    this.inner?.remove();
    this.inner = null;
    this.panel.hidden = !this.shows;
    if (this.shows) this.line(what === "trace" ? "Reading the trace…" : "Reading the changes…");
    if (this.shows === "diff") this.store.send({ k: "diff" });
    else if (this.shows === "undo") this.question("Put back the files that the last turn changed, as they were before it?", "Undo", () => this.carry("undo", {}));
    else if (this.shows === "apply") this.preview();
    else if (this.shows === "trace") this.trace();
    this.update();
  }

  /** Where the time went, as the kernel's own widget. */
  async trace() {
    const answer = await this.store.act("trace", {});
    if (this.shows !== "trace") return;
    try {
      if (!answer.model) throw new Error(answer.said);
      const view = await viewOf(this.store.model, answer.model);
      if (this.shows !== "trace") return view.remove();
      this.inner = view;
      this.panel.replaceChildren(view.el);
    } catch {
      this.line(`It cannot be shown here. \`%paseo trace ${oneLine(this.store.head.short, 40)}\` in a cell does.`);
    }
  }

  /** @param {string} text @param {...any} more */
  line(text, ...more) {
    this.panel.replaceChildren(h("div.pad", { role: "status" }, h("p.t12.said.pre", null, ...coded(clean(text).slice(0, 4000))), ...more));
  }

  /** @param {string} text @param {string} word @param {() => void} yes */
  question(text, word, yes) {
    this.line(text, h("div.acts", null, h("button.btn", { type: "button", onclick: yes }, word), h("button.btn.quiet", { type: "button", onclick: () => this.open(this.shows) }, "Back")));
  }

  /** What applying would do, before it is done. */
  async preview() {
    const answer = await this.store.act("apply", { dry_run: true });
    if (this.shows !== "apply") return;
    const onto = oneLine(answer.onto, 80);
    if (!answer.ok || !answer.clear) return this.line(answer.said || "It cannot be applied.");
    this.question(`${answer.said}.`, `Apply to ${onto}`, () => this.carry("apply", { onto: answer.onto }));
  }

  /** @param {string} verb @param {Record<string, unknown>} fields */
  async carry(verb, fields) {
    this.line(verb === "undo" ? "Putting back…" : "Applying…");
    const answer = await this.store.act(verb, fields);
    if (this.shows === verb) this.line(answer.said || (answer.ok ? "Done." : "That did not work."));
  }

  /** @param {any[]} files @param {string} said why there are none */
  show(files, said) {
    if (this.shows !== "diff") return;
    const open = files.length <= 3;
    this.panel.replaceChildren(
      files.length ? h("div.calls", null, files.slice(0, 200).map((file, i) => this.file(file, open || i === 0))) : h("p.f2.t12.pad", null, oneLine(said, 300) || "Nothing changed."),
    );
  }

  /** @param {any} file @param {boolean} open */
  file(file, open) {
    const body = h("div");
    const details = h("details.call", { open }, h("summary", null, icon("chev", "s12 chev"), h("span.tgt.cut", null, oneLine(file?.path, 300)), h("span.r", null, counts(file?.added, file?.removed))), body);
    const fill = () => details.open && !body.firstChild && body.append(diffBody(file));
    details.addEventListener("toggle", fill);
    fill();
    return details;
  }
}
