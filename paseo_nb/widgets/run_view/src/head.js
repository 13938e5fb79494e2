/** The head of a run: state, title, time, tokens, money, context, Stop; below what it runs with. */

import { add, attr, h, icon, say, shapeIcon } from "./dom.js";
import { clean, list, num, oneLine } from "./text.js";
import { clock, money, tokens } from "./units.js";

const SHAPES = ["queued", "running", "waiting", "done", "failed", "interrupted", "stopped"];
const MODES = [
  { id: "ask", name: "Ask before everything" },
  { id: "edit", name: "Ask before commands" },
  { id: "auto", name: "Ask nothing" },
  { id: "read", name: "Read only" },
];
const FORCE_MS = 4000;

/** What can be done unless the kernel says otherwise. */
const USUAL = ["set_mode", "set_agent_mode", "unqueue"];

/** @param {any} head @param {string} verb */
export function may({ can, state }, verb) {
  if (can && typeof can === "object" && Object.hasOwn(can, verb)) return can[verb] === true;
  return USUAL.includes(verb) || (verb === "resume" && state === "interrupted");
}

/** Why not, where the kernel says so. @param {any} can @param {string} verb */
export const whyNot = (can, verb) => (can && typeof can === "object" && Object.hasOwn(can, verb) && typeof can[verb] === "string" ? can[verb] : "");

export class Head {
  /** @param {import("./store.js").Store} store @param {(text: string, bad?: boolean) => void} tell @param {() => void} unfold @param {() => boolean} picking whether a turn runs or is being written */
  constructor(store, tell, unfold, picking) {
    this.store = store;
    this.tell = tell;
    this.shape = h("span");
    this.title = h("span.rv-title.cut");
    this.word = h("span.state", { role: "status" });
    this.elapsed = h("b");
    this.tokens = h("b");
    this.cost = h("b");
    this.left = h("span.warn");
    this.meter = h("i");
    this.percent = h("b.pct");
    this.context = h("span.wide.ctx", null, "ctx ", h("span.meter", { role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Context window used" }, this.meter), " ", this.percent);
    this.stats = h(
      "span.rv-stats",
      null,
      h("span.n-time", { title: "Elapsed" }, this.elapsed),
      (this.tokensBox = h("span.wide.n-tok", { title: "Tokens in and out" }, this.tokens, " tok")),
      (this.costBox = h("span.n-cost", { title: "Cost so far, US dollars" }, this.cost, this.left)),
      this.context,
    );
    this.acts = h("span.rv-acts");
    this.picking = picking;
    this.unfold = h("button.btn.quiet", { type: "button", onclick: unfold, hidden: true }, icon("down"), h("span.sr", null, "Transcript"));
    this.line2 = h("div.rv-l2");
    this.el = h(
      "header.rv-head",
      null,
      h("div.rv-l1", null, h("span.rv-t", null, this.shape, this.title, this.word), this.stats, this.acts, this.unfold),
      this.line2,
    );
    this.stopping = 0; // when Stop was clicked
    this.acting = "";
    this.kept = { shape: "", acts: "", line2: "" };
    this.chosen = /** @type {Record<string, string>} */ ({});
  }

  update() {
    const { head } = this.store;
    const shape = SHAPES.includes(head.shape) ? head.shape : "queued";
    if (!this.store.busy) this.stopping = 0;
    const word = this.stopping ? "Stopping…" : oneLine(head.word, 40) || "Starting";
    if (this.kept.shape !== shape) {
      this.kept.shape = shape;
      this.shape.replaceChildren(shapeIcon(shape));
      this.word.className = `state st-${shape}`;
    }
    say(this.word, word);
    say(this.title, oneLine(head.title, 200) || "Untitled");
    this.title.title = clean(head.title).slice(0, 500);
    this.tick();
    const used = num(head.tokens);
    this.tokensBox.hidden = used === null;
    say(this.tokens, used === null ? "" : tokens(used));
    this.money();
    this.window();
    this.buttons();
    this.secondLine();
  }

  /** What moves with the clock alone. */
  tick() {
    const { head } = this.store;
    const started = num(head.turn_started_us);
    const took = num(head.turn_took_s);
    let seconds = took;
    if (seconds === null && started !== null && this.store.busy) seconds = (this.store.now_us() - started) / 1e6;
    say(this.elapsed, seconds === null ? "" : clock(seconds));
  }

  money() {
    const { head } = this.store;
    const cost = num(head.cost_usd);
    const budget = num(head.budget_usd);
    this.costBox.hidden = cost === null;
    if (cost === null) return;
    say(this.cost, money(cost));
    const near = budget !== null && budget > 0 && cost >= 0.8 * budget;
    say(this.left, near ? ` ${money(Math.max(budget - cost, 0))} left` : "");
    this.costBox.title = budget === null ? "Cost so far, US dollars" : `Cost so far, of a budget of ${money(budget)}`;
  }

  window() {
    const [used, size] = list(this.store.head.context).map(num);
    const known = used != null && size != null && size > 0;
    this.context.hidden = !known;
    if (!known) return;
    const share = Math.min(Math.max(used / size, 0), 1);
    this.meter.style.width = `${(share * 100).toFixed(1)}%`;
    say(this.percent, `${Math.round(share * 100)}%`);
    this.context.title = `Context window: ${tokens(used)} of ${tokens(size)} tokens`;
    attr(this.meter.parentElement, "aria-valuenow", String(Math.round(share * 100)));
  }

  // ---------------------------------------------------------------- what it can be told

  buttons() {
    const { head, busy, frozen } = this.store;
    const late = this.stopping && Date.now() - this.stopping > FORCE_MS;
    let want = "";
    if (!frozen) {
      if (busy && !whyNot(head.can, "cancel")) want = !this.stopping ? "Stop" : late ? "End the agent" : "Stopping…";
      else if (may(head, "resume")) want = "Resume";
      else if (may(head, "retry")) want = "Try again";
    }
    const told = `${want}/${this.acting}`;
    if (this.kept.acts === told) return;
    this.kept.acts = told;
    const focused = this.acts.contains(/** @type {any} */ (this.el.getRootNode()).activeElement);
    this.acts.replaceChildren(...(want ? [this.button(want)] : []));
    if (focused) this.acts.firstElementChild?.focus();
  }

  /** @param {string} want */
  button(want) {
    const [look, name, verb, title] = /** @type {Record<string, string[]>} */ ({
      Stop: ["danger", "stop", "cancel", "Stop the turn and its commands"],
      "Stopping…": ["danger", "stop", "", "Waiting until the turn and its commands are gone"],
      "End the agent": ["danger", "stop", "stop", "The turn does not end by itself: end the agent's processes"],
      Resume: ["pri", "play", "resume", "Continue in the agent's own session"],
      "Try again": ["", "again", "retry", "Give the last prompt again"],
    })[want];
    return h(
      `button.btn${look ? `.${look}` : ""}.rv-stop`,
      { type: "button", title, disabled: !verb || this.acting === verb, onclick: () => this.act(verb) },
      icon(name, "s12"),
      want,
    );
  }

  /** @param {string} verb */
  async act(verb) {
    if (verb === "cancel") {
      this.stopping = Date.now();
      setTimeout(() => this.update(), FORCE_MS + 50);
    } else this.acting = verb;
    this.update();
    const answer = await this.store.act(verb, {}, () => this.tell(SLOW));
    this.acting = "";
    if (!answer.ok) {
      this.stopping = 0;
      this.tell(answer.said || "That did not work.", true);
    } else this.tell(answer.said);
    this.update();
  }

  secondLine() {
    const { head, busy, frozen } = this.store;
    this.line2.hidden = !this.picking();
    const models = options(head.models);
    const modes = options(head.agent_modes);
    const live = !frozen;
    const told = JSON.stringify([live, busy, head.agent, head.model, models, head.effort, head.efforts, head.agent_mode, modes, head.permission_mode, head.branch, head.short, head.can, this.chosen, head.attach]);
    if (this.kept.line2 === told) return;
    if (this.line2.contains(/** @type {any} */ (this.el.getRootNode()).activeElement) && this.kept.line2) {
      setTimeout(() => this.secondLine(), 500); // not under the reader's fingers
      return;
    }
    this.kept.line2 = told;
    const agent = oneLine(head.agent, 60);
    const model = oneLine(head.model, 60);
    const provider = agent.split("/")[0];
    const named = (/** @type {any[]} */ all, /** @type {string} */ id) => all.find((one) => one.id === id)?.name ?? id;
    const shown = model && !agent.endsWith(`/${model}`) ? `${provider}/${model}` : agent;
    this.line2.replaceChildren();
    add(
      this.line2,
      this.picker("set_model", "Model", head.model, models, models.length && model ? (models.some((m) => m.id === head.model && m.name !== m.id) ? `${provider}, ${named(models, head.model)}` : shown) : shown),
      this.picker("set_effort", "Effort", head.effort, options(head.efforts)),
      this.picker("set_agent_mode", "Agent mode", head.agent_mode, modes),
      this.picker("set_mode", "Permissions", head.permission_mode, MODES.filter((mode) => !head.permission_modes || list(head.permission_modes).includes(mode.id))),
      head.branch ? h("span.cut", { title: `Branch ${clean(head.branch)}` }, icon("branch"), h("span.cut", null, oneLine(head.branch, 80))) : null,
      h("span.wide.grow"),
      head.short || head.run_id ? h("span.wide.f2", { title: "The run's id" }, "run ", h("code", null, oneLine(head.short || head.run_id, 30))) : null,
    );
  }

  /**
   * A choice, or its value as text where it cannot be changed: a native select under our own face.
   * @param {string} verb @param {string} label @param {any} value @param {{id: string, name: string}[]} choices @param {string} [face]
   */
  picker(verb, label, value, choices, face) {
    const { head, frozen } = this.store;
    const now = this.chosen[verb] ?? oneLine(value, 80);
    const name = this.chosen[verb] ? (choices.find((one) => one.id === now)?.name ?? now) : (face ?? choices.find((one) => one.id === now)?.name ?? now);
    if (!name) return null;
    const shown = oneLine(name, 48);
    if (frozen || !may(head, verb) || choices.length < 2)
      return h("span.plain", { title: [label, clean(whyNot(head.can, verb))].filter(Boolean).join(": ").slice(0, 300) }, shown);
    const all = choices.some((one) => one.id === now) || !now ? choices : [{ id: now, name: now }, ...choices];
    const select = h(
      "select",
      { "aria-label": label, title: `${label}. A change holds from the next turn`, onchange: () => this.choose(verb, select.value, label) },
      all.map((one) => h("option", { value: one.id }, one.name)),
    );
    select.value = now;
    const word = PREFIXES[verb];
    return h(`span.pick${this.chosen[verb] ? ".soon" : ""}`, null, word ? h("span.f2", null, word) : null, h("span", null, shown), icon("down", "s12"), select);
  }

  /** @param {string} verb @param {string} value @param {string} label */
  async choose(verb, value, label) {
    this.chosen[verb] = value;
    const answer = await this.store.act(verb, { value }, () => this.tell(SLOW));
    delete this.chosen[verb];
    if (!answer.ok) this.tell(answer.said || `${label} could not be changed.`, true);
    else this.tell(answer.said || (this.store.busy ? `${label}: changed from the next turn on.` : ""));
    this.kept.line2 = "";
    this.secondLine();
  }
}

/** What stands before a choice whose name alone would not tell what it is of. @type {Record<string, string>} */
const PREFIXES = { set_effort: "Effort", set_agent_mode: "Agent" };

export const SLOW = "The kernel is busy with a cell; it does this when the cell ends. To end the cell now, interrupt the kernel.";

/** @param {any} raw @returns {{id: string, name: string}[]} */
function options(raw) {
  return list(raw).slice(0, 500).map((one) => (typeof one === "string" ? { id: one, name: oneLine(one, 80) } : { id: clean(one?.id), name: oneLine(one?.name || one?.id, 80) })).filter((one) => one.id);
}
