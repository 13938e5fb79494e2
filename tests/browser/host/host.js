// A page that stands in for a notebook: a model whose kernel is scripted by the test, speaking the
// run view's protocol. It keeps the true state, so that a view which asks again gets all of it.
import view from "./run_view.js";

const text = (value) => (typeof value === "string" ? value : "");

class Kernel {
  constructor() {
    Object.assign(this, { epoch: "e1", n: 0, head: {}, asks: [], rows: [], sent: [], listeners: new Set() });
    Object.assign(this, { mute: false, drop: 0, partRows: 500, answers: { default: { ok: true, said: "" } } });
  }

  // anywidget gives `initialize` and every `render` a wrapper of the model of its own
  model() {
    return {
      on: (name, hear) => name === "msg:custom" && this.listeners.add(hear),
      off: (_name, hear) => this.listeners.delete(hear),
      send: (message) => this.hear(structuredClone(message)),
    };
  }

  say(message) {
    const bytes = new DataView(new TextEncoder().encode(JSON.stringify(message)).buffer);
    for (const hear of [...this.listeners]) hear({ k: "json" }, [bytes]);
  }

  hear(message) {
    this.sent.push(message);
    if (this.mute) return;
    if (message.k === "hello") setTimeout(() => this.full(), 5);
    else if (message.k === "do") {
      const answer = this.answers[message.verb] ?? this.answers.default;
      if (answer) setTimeout(() => this.say({ k: "done", id: message.id, ...answer }), 5);
    } else if (message.k === "more") setTimeout(() => this.say({ k: "more", row: message.row, ...this.whole }), 5);
    else if (message.k === "diff") setTimeout(() => this.say({ k: "diff", files: this.files ?? [] }), 5);
  }

  full() {
    const parts = Math.max(Math.ceil(this.rows.length / this.partRows), 1);
    for (let part = 0; part < parts; part++) {
      const rows = this.rows.slice(part * this.partRows, (part + 1) * this.partRows);
      const first = part ? {} : { head: this.head, asks: this.asks };
      this.say({ k: "full", epoch: this.epoch, n: this.n, part, parts, rows, ...first });
    }
  }

  ops(ops, lose = false) {
    for (const [name, where, what] of structuredClone(ops)) {
      if (name === "h") Object.assign(this.head, where);
      else if (name === "a") this.asks = where;
      else if (name === "r") this.rows[where] = what;
      else if (name === "m") Object.assign(this.rows[where], what);
      else if (name === "t") this.rows[where].text = text(this.rows[where].text) + text(what);
      else if (name === "o") this.rows[where].output = text(this.rows[where].output) + text(what);
    }
    this.n += 1;
    if (!lose) this.say({ k: "delta", epoch: this.epoch, n: this.n, ops });
  }

  at() {
    this.say({ k: "at", epoch: this.epoch, n: this.n });
  }

  did(verb) {
    return this.sent.filter((message) => message.k === "do" && message.verb === verb);
  }
}

window.kernel = new Kernel();
window.anew = () => {
  for (const close of window.closing?.splice(0) ?? []) close();
  window.kernel = new Kernel();
  window.widget = null;
};
window.begin = ({ head = {}, asks = [], rows = [] }, width = null) => {
  const now = Date.now() * 1000;
  Object.assign(kernel, { head: { now_us: now, ...head }, asks, rows });
  window.show("#out", width);
};
window.show = (where, width = null) => {
  if (!window.widget) {
    window.widget = typeof view === "function" ? view() : view;
    window.widget.initialize({ model: kernel.model() });
  }
  const el = document.createElement("div");
  if (width) document.querySelector(where).style.width = `${width}px`;
  document.querySelector(where).append(el);
  const close = window.widget.render({ model: kernel.model(), el });
  return (window.closing ??= []).push(() => (close(), el.remove()));
};
setInterval(() => kernel.mute || kernel.listeners.size === 0 || kernel.at(), 2000); // beats
window.ready = true;
