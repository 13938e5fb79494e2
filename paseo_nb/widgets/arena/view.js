/**
 * A match's widget: shows the HTML that `page.py` renders, and adds what needs a browser: tabs of each
 * contestant, which can be locked together with their scrolling, the vote by button or key, and what
 * was clicked. Names come with the HTML, so after the vote only.
 *
 * Keys: 1 2 3 4 5 T N choose, Enter votes, U takes the choice back, L locks tabs and scrolling.
 */

/** @param {string} tag @param {Record<string, any>} set @param {...(Node | string)} inner */
function made(tag, set, ...inner) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inner);
  return element;
}

/** The bar in which one votes: built once, changed in place. */
class Vote {
  /** @param {(choice: string, why: string) => void} give */
  constructor(give) {
    this.give = give;
    this.choice = "";
    this.el = /** @type {HTMLElement | null} */ (null);
  }

  /** @param {HTMLElement} host */
  into(host) {
    if (this.el === host) return;
    this.el = host;
    this.choice = "";
    const seats = (host.dataset.seats ?? "").split(" ");
    this.keys = new Map(seats.map((seat, at) => [String(at + 1), seat]));
    this.keys.set("t", "tie").set("n", "none");
    const words = { tie: "Tie", none: "None" };
    const off = new Set((host.dataset.off ?? "").split(" ")); // they did not end well
    this.buttons = [...this.keys].map(([key, choice]) =>
      made("button", { class: "vb", "data-vote": choice, "aria-pressed": "false", "aria-keyshortcuts": key,
        disabled: off.has(choice), title: off.has(choice) && "It did not end well", click: () => this.choose(choice) }, words[choice] ?? choice, made("kbd", { "aria-hidden": "true" }, key.toUpperCase())));
    this.why = made("input", { type: "text", maxlength: "500", "aria-label": "Why", placeholder: "Why, if you like" });
    this.send = made("button", { class: "go", disabled: true, click: () => this.vote() });
    this.said = made("p", { role: "status" });
    host.replaceChildren(made("b", {}, "Which one would you merge?"), ...this.buttons, this.why, this.send, this.said);
    this.refused("");
  }

  /** @param {string} choice */
  choose(choice) {
    if (!this.el?.isConnected) return;
    if (this.buttons.some((button) => button.disabled && button.dataset.vote === choice)) return;
    this.choice = choice;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.vote === choice));
    this.refused("");
  }

  vote() {
    if (!this.el?.isConnected || !this.choice || this.send.disabled) return;
    this.send.disabled = true;
    this.send.replaceChildren("Voting…");
    this.give(this.choice, this.why.value.trim());
  }

  /** The state in which one can vote, again where a vote was refused. @param {string} said */
  refused(said) {
    this.said.textContent = said;
    this.send.disabled = !this.choice;
    const words = { "": "Vote", tie: "Vote a tie", none: "Vote for none" };
    this.send.replaceChildren(words[this.choice] ?? `Vote ${this.choice}`, made("kbd", { "aria-hidden": "true" }, "↵"));
  }
}

/** Tabs of the contestants, and whether they move together. */
class Tabs {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.open = new Map();
    this.locked = false;
    root.addEventListener("scroll", (event) => this.scrolled(event.target), true);
  }

  panels() {
    return [...this.root.querySelectorAll("[data-panel]")];
  }

  /** Streams whose end is looked at: they stay there. */
  atEnd() {
    return this.panels().filter((one) => !one.hidden && one.dataset.panel.endsWith(" stream") && one.scrollTop + one.clientHeight >= one.scrollHeight - 4);
  }

  show() {
    this.first ??= this.root.querySelector("[data-first]")?.dataset.first ?? "stream";
    for (const tab of this.root.querySelectorAll("[data-tab]")) {
      const [seat, name] = tab.dataset.tab.split(" ");
      tab.setAttribute("aria-selected", String((this.open.get(seat) ?? this.first) === name));
    }
    for (const panel of this.panels()) {
      const [seat, name] = panel.dataset.panel.split(" ");
      panel.hidden = (this.open.get(seat) ?? this.first) !== name;
    }
    for (const lock of this.root.querySelectorAll("[data-lock]")) lock.setAttribute("aria-pressed", String(this.locked));
  }

  /** @param {string} told */
  pick(told) {
    const [seat, name] = told.split(" ");
    const seats = [...this.root.querySelectorAll("[data-tab]")].map((tab) => tab.dataset.tab.split(" ")[0]);
    for (const one of this.locked ? seats : [seat]) this.open.set(one, name);
    this.show();
  }

  lock() {
    this.locked = !this.locked;
    this.show();
  }

  /** @param {any} panel */
  scrolled(panel) {
    if (!this.locked || !panel.dataset?.panel || panel.paseoMoved) {
      if (panel.dataset) panel.paseoMoved = false;
      return;
    }
    for (const other of this.panels()) {
      if (other === panel || other.hidden || other.scrollTop === panel.scrollTop) continue;
      const before = other.scrollTop;
      other.scrollTop = panel.scrollTop;
      other.paseoMoved = other.scrollTop !== before; // what it tells of is ours
    }
  }
}

export default {
  /** @param {{model: any, el: HTMLElement}} context */
  render({ model, el }) {
    el.classList.add("paseo-alive", "paseo-match");
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    el.tabIndex = -1; // a click anywhere gives it the keys
    const root = document.createElement("div");
    el.append(root);
    const tabs = new Tabs(root);
    const vote = new Vote((choice, why) => model.send({ k: `vote ${choice}`, why }));
    const show = () => {
      const ends = tabs.atEnd();
      putInPlace(root, model.get("page"));
      tabs.show();
      const bar = root.querySelector("[data-own=vote]");
      if (bar) vote.into(bar);
      for (const panel of ends) panel.scrollTop = panel.scrollHeight;
    };
    root.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button?.dataset.tab) tabs.pick(button.dataset.tab);
      else if (button?.hasAttribute("data-lock")) tabs.lock();
      else if (button?.dataset.do) {
        button.disabled = true;
        model.send({ k: button.dataset.do });
      }
    });
    el.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target instanceof HTMLInputElement;
      const key = event.key.toLowerCase();
      const other = event.target instanceof HTMLButtonElement && !event.target.closest("[data-own=vote]");
      if (typing && key === "escape") el.focus();
      else if (key === "enter" && !other) vote.vote();
      else if (typing) return;
      else if (key === "l") tabs.lock();
      else if (key === "u") vote.choose("");
      else if (vote.keys?.has(key)) vote.choose(vote.keys.get(key));
      else return;
      event.preventDefault();
    });
    const told = (message) => {
      if (message?.k === "refused" && vote.el?.isConnected) vote.refused(String(message.said));
    };
    model.on("change:page", show);
    model.on("msg:custom", told);
    show();
    return () => {
      model.off("change:page", show);
      model.off("msg:custom", told);
    };
  },
};
