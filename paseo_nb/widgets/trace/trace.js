/**
 * A live trace as anywidget wants it: a tree of spans with bars, of which only the lines in sight
 * are in the page. What comes from an agent becomes text nodes only. One file, no build.
 */

const ROW = 24;
const AROUND = 12; // lines drawn beyond what is in sight
const SLOW_MS = 5000;
const HERE_MS = 8000;
const PATHS = {
  chevron: ["M6 4l4 4-4 4"],
  workflow: ["M2 3h4v4H2zM10 3h4v4h-4zM6 11h4v3H6z", "M4 7v2h8V7M8 9v2"],
  step: ["M8 4.5a3.5 3.5 0 100 7 3.5 3.5 0 000-7z"],
  run: ["M8 1.75a6.25 6.25 0 100 12.5 6.25 6.25 0 000-12.5z", "M6.5 5.5L10.5 8l-4 2.5z"],
  turn: ["M2.5 3h11v7.5h-6L4.75 13v-2.5H2.5z"],
  model_call: ["M8 1.75l5.4 3.1v6.3L8 14.25l-5.4-3.1v-6.3z"],
  permission: ["M8 1.75l5.25 2v4c0 3.2-2.2 5.4-5.25 6.5-3.05-1.1-5.25-3.3-5.25-6.5v-4z"],
  retry: ["M13 8a5 5 0 11-1.5-3.6M13 2v3h-3"],
  compaction: ["M3 3h10v10H3zM5.5 8h5"],
  execute: ["M1.75 2.75h12.5v10.5H1.75z", "M4.5 6l2.25 2-2.25 2M8.75 10.25h2.75"],
  read: ["M4 1.75h5.25L12.5 5v9.25H4z", "M9.25 1.75V5h3.25"],
  edit: ["M10.75 2.5l2.75 2.75L5.75 13H3v-2.75z"],
  search: ["M7 2.75a4.25 4.25 0 100 8.5 4.25 4.25 0 000-8.5z", "M10.25 10.25L14 14"],
  other: ["M3.5 3.5h9v9h-9z"],
  close: ["M4 4l8 8M12 4l-8 8"],
};
const FILTERS = [
  ["all", "All", () => true],
  ["tools", "Tools", (r) => r.k === "tool_call"],
  ["calls", "Model calls", (r) => r.k === "model_call"],
  ["errors", "Errors", (r) => r.x],
  ["slow", `Slow, over ${SLOW_MS / 1000} s`, (r, now) => leaf(r) && ended(r, now) - r.s > SLOW_MS],
  ["asked", "Permissions", (r) => r.k === "permission"],
];

const leaf = (r) => !["workflow", "step", "run", "turn"].includes(r.k);
const ended = (r, now) => (r.e === null ? (r.g ? now : r.s) : r.e);

function make(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined && text !== null) made.textContent = String(text);
  return made;
}

function icon(name, small) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  made.setAttribute("viewBox", "0 0 16 16");
  made.setAttribute("class", small ? "ic s12" : "ic");
  made.setAttribute("aria-hidden", "true");
  for (const d of PATHS[name] ?? PATHS.other) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    made.append(path);
  }
  return made;
}

function clock(ms) {
  const s = Math.max(Math.round(ms / 1000), 0);
  const two = (n) => String(n).padStart(2, "0");
  return s < 3600
    ? `${Math.floor(s / 60)}:${two(s % 60)}`
    : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** Where ticks stand, so that there are at most eight. */
function ticks(whole) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = (steps.find((s) => whole / (s * 1000) <= 8) ?? 86400) * 1000;
  const found = [];
  for (let at = 0; at <= whole && found.length < 9; at += step) found.push(at);
  return found;
}

class View {
  constructor(model, el) {
    this.model = model;
    this.rows = new Map();
    this.children = new Map();
    this.open = new Map();
    this.filter = "all";
    this.tool = "";
    this.found = null;
    this.text = "";
    this.selected = null;
    this.detail = null;
    this.tab = "output";
    this.n = 0;
    this.head = {};
    this.at = 0;
    this.offset = 0;
    this.flat = [];
    this.drawn = new Map();
    this.build(el);
    this.hear = (message) => this.take(message);
    model.on("msg:custom", this.hear);
    model.send({ k: "hello" });
    this.beat = setInterval(() => {
      if (!document.hidden) model.send({ k: "here" });
    }, HERE_MS);
    this.ticking = setInterval(() => this.head.live && this.draw(true), 1000);
  }

  close() {
    clearInterval(this.beat);
    clearInterval(this.ticking);
    clearTimeout(this.searching);
    this.watch.disconnect();
    this.model.off("msg:custom", this.hear);
  }

  build(el) {
    const root = make("article", "pn paseo-alive");
    const card = make("div", "card tv");
    root.append(card);
    this.title = make("header", "th1");
    this.totals = make("div", "tot");
    const bar = make("div", "fb");
    this.chips = make("span", "chs");
    const find = make("label", "find");
    this.field = make("input", "field");
    this.field.type = "search";
    this.field.placeholder = "Find in names and output";
    this.field.setAttribute("aria-label", "Find");
    this.field.addEventListener("input", () => this.search());
    this.field.addEventListener("keydown", (e) => e.stopPropagation());
    find.append(icon("search"), this.field);
    this.tools = make("select", "field tools");
    this.tools.setAttribute("aria-label", "Tool");
    this.tools.addEventListener("keydown", (e) => e.stopPropagation());
    this.tools.addEventListener("change", () => {
      this.tool = this.tools.value;
      this.scroll.scrollTop = 0;
      this.shape();
    });
    bar.append(this.chips, this.tools, make("span", "grow"), find);
    this.hd = make("div", "sp hd");
    this.scroll = make("div", "sc");
    this.tree = make("div", "tree");
    this.tree.setAttribute("role", "tree");
    this.tree.setAttribute("aria-label", "Spans");
    this.tree.tabIndex = 0;
    this.none = make("p", "nothing f2 t12", "Nothing fits.");
    this.scroll.append(this.tree, this.none);
    this.det = make("section", "det");
    this.det.hidden = true;
    card.append(this.title, this.totals, bar, this.hd, this.scroll, this.det);
    el.append(root);
    this.scroll.addEventListener("scroll", () => this.soon());
    this.watch = new ResizeObserver(() => this.soon());
    this.watch.observe(this.scroll);
    this.tree.addEventListener("click", (e) => this.click(e));
    this.tree.addEventListener("keydown", (e) => this.key(e));
  }

  take(message) {
    if (message.k === "trace") {
      if (message.whole) {
        this.rows.clear();
        this.n = message.n;
      } else if (message.n !== this.n + 1) {
        this.model.send({ k: "hello" });
        return;
      }
      this.n = message.n;
      for (const row of message.rows) this.rows.set(row.i, row);
      if (!message.part) {
        this.head = message.head;
        this.at = message.head.at;
        this.offset = Date.now() - message.head.at;
        this.arrange();
      }
    } else if (message.k === "found" && message.text === this.text) {
      this.found = new Set(message.ids);
      this.arrange();
    } else if (message.k === "detail" && message.i === this.selected) {
      this.detail = message;
      this.show();
    }
  }

  get now() {
    return this.head.live ? Date.now() - this.offset : this.at;
  }

  arrange() {
    this.children = new Map();
    for (const row of this.rows.values()) {
      if (row.p === null) continue;
      const list = this.children.get(row.p);
      if (list) list.push(row);
      else this.children.set(row.p, [row]);
    }
    for (const list of this.children.values()) list.sort((a, b) => a.o - b.o);
    this.shape();
  }

  /** What is in the tree now, in order: by filter, search, and what is folded. */
  shape() {
    const test = FILTERS.find(([name]) => name === this.filter)[2];
    const now = this.now;
    let wanted = null;
    if (this.filtered) {
      wanted = new Set();
      for (const row of this.rows.values()) {
        if (!test(row, now) || (this.tool && row.tn !== this.tool)) continue;
        if (this.found && !this.found.has(row.i)) continue;
        for (let at = row; at && !wanted.has(at.i); at = this.rows.get(at.p)) wanted.add(at.i);
      }
    }
    this.flat = [];
    const roots = [...this.rows.values()].filter((row) => row.p === null);
    const stack = roots.reverse();
    while (stack.length) {
      const row = stack.pop();
      if (wanted && !wanted.has(row.i)) continue;
      this.flat.push(row);
      if (!this.isOpen(row, wanted !== null)) continue;
      const below = this.children.get(row.i) ?? [];
      for (let at = below.length - 1; at >= 0; at -= 1) stack.push(below[at]);
    }
    this.headline();
    this.draw(true);
  }

  get filtered() {
    return this.filter !== "all" || this.tool !== "" || this.found !== null;
  }

  isOpen(row, filtered) {
    return this.open.get(row.i) ?? (filtered || row.l < 2 || this.rows.size <= 200);
  }

  headline() {
    const { name, said, totals, spent } = this.head;
    this.title.replaceChildren(make("span", "b", `Trace of ${name ?? ""}`), make("span", "f2 t12", said));
    const list = make("dl");
    for (const [what, value, more] of totals ?? []) {
      const one = make("div");
      const dd = make("dd", "", value);
      if (more) dd.append(" ", make("span", "", more));
      one.append(make("dt", "", what), dd);
      list.append(one);
    }
    const where = make("div", "where");
    if (spent?.length) {
      where.append(make("div", "cap", "Where the time went"));
      const strip = make("div", "strip");
      const words = make("ul");
      for (const [kind, what, took, share] of spent) {
        const part = make("i", `k-${kind}`);
        part.style.width = `${share * 100}%`;
        strip.append(part);
        const li = make("li");
        li.append(make("i", `sw k-${kind}`), `${what} `, make("b", "", took), " ");
        li.append(make("span", "f2", `${Math.round(share * 100)}%`));
        words.append(li);
      }
      where.append(strip, words);
    }
    this.totals.replaceChildren(list, where);
    const now = this.now;
    const all = [...this.rows.values()];
    this.choices(all);
    this.chips.replaceChildren(
      ...FILTERS.map(([name, word, test]) => {
        const chip = make("button", "chip", `${word} `);
        chip.type = "button";
        chip.append(make("b", "", all.filter((row) => test(row, now)).length));
        chip.setAttribute("aria-pressed", String(this.filter === name));
        chip.addEventListener("click", () => {
          this.filter = name;
          this.scroll.scrollTop = 0;
          this.shape();
        });
        return chip;
      }),
    );
  }

  /** The tools that there are, to choose one of; as they were while nothing is new. */
  choices(all) {
    const counts = new Map();
    for (const { tn } of all) if (tn) counts.set(tn, (counts.get(tn) ?? 0) + 1);
    const names = [...counts.keys()].sort();
    const told = names.map((name) => `${name} ${counts.get(name)}`);
    this.tools.hidden = names.length < 2;
    if (told.join("\n") === this.told) return;
    this.told = told.join("\n");
    const option = (value, text) => Object.assign(make("option", "", text), { value });
    this.tools.replaceChildren(option("", "Any tool"), ...names.map((name, at) => option(name, told[at])));
    this.tools.value = this.tool;
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw(false);
    });
  }

  draw(anew) {
    const { clientHeight, scrollTop } = this.scroll;
    const from = Math.max(Math.floor(scrollTop / ROW) - AROUND, 0);
    const to = Math.min(Math.ceil((scrollTop + (clientHeight || 560)) / ROW) + AROUND, this.flat.length);
    this.whole = 1;
    const now = this.now;
    const root = this.flat[0];
    if (root) this.whole = Math.max((this.head.live ? now : this.head.end) - root.s, 1);
    this.start = root ? root.s : 0;
    this.tree.style.height = `${this.flat.length * ROW}px`;
    this.none.hidden = this.flat.length > 0;
    if (anew) {
      this.drawn.clear();
      this.tree.replaceChildren(this.grid());
      this.axis();
    }
    for (const [at, line] of this.drawn) {
      if (at < from || at >= to) {
        line.remove();
        this.drawn.delete(at);
      }
    }
    for (let at = from; at < to; at += 1) {
      if (this.drawn.has(at)) continue;
      const line = this.line(this.flat[at], at);
      this.drawn.set(at, line);
      this.tree.append(line);
    }
  }

  axis() {
    const scale = make("div", "tl");
    for (const at of ticks(this.whole)) {
      const mark = make("span", "", clock(at));
      mark.style.left = `${(at / this.whole) * 100}%`;
      scale.append(mark);
    }
    this.hd.replaceChildren(make("div", "nm", "Span"), make("div", "num", "Tokens"), make("div", "num", "Cost"), scale);
  }

  grid() {
    const made = make("div", "grid");
    for (const at of ticks(this.whole).slice(1)) {
      const u = make("u");
      u.style.left = `${(at / this.whole) * 100}%`;
      made.append(u);
    }
    return made;
  }

  line(row, at) {
    const below = this.children.has(row.i);
    const open = below && this.isOpen(row, this.filtered);
    const line = make("div", row.i === this.selected ? "sp sel" : "sp");
    line.style.top = `${at * ROW}px`;
    line.dataset.i = row.i;
    line.setAttribute("role", "treeitem");
    line.setAttribute("aria-level", row.l + 1);
    line.setAttribute("aria-selected", String(row.i === this.selected));
    if (below) line.setAttribute("aria-expanded", String(open));
    const name = make("div", "nm");
    name.style.paddingLeft = `${8 + 16 * Math.min(row.l, 14)}px`;
    for (let level = 0; level < Math.min(row.l, 14); level += 1) {
      const rule = make("u");
      rule.style.left = `${15 + 16 * level}px`;
      name.append(rule);
    }
    const turn = make("span", "tw");
    if (below) {
      const chevron = icon("chevron", true);
      chevron.classList.add("chev");
      if (open) chevron.classList.add("dn");
      turn.append(chevron);
    }
    const kind = make("span", row.x ? "kd err" : row.k === "permission" ? "kd warn" : "kd");
    kind.append(icon(row.k === "tool_call" ? row.tk : row.k));
    name.append(turn, kind, make("span", "cut lb", row.n));
    if (row.pa) name.append(make("span", "ty", "parallel"));
    name.append(make("span", row.x ? "nt cut err b" : "nt cut", row.d));
    const scale = make("div", "tl");
    if (row.u) {
      const end = ended(row, this.now);
      const left = ((row.s - this.start) / this.whole) * 100;
      const wide = Math.max(((end - row.s) / this.whole) * 100, 0);
      const bar = make("i", `bar k-${BARS[row.k] ?? "box"}${row.x ? " k-err" : ""}`);
      bar.style.left = `${Math.min(left, 99.8)}%`;
      bar.style.width = `max(2px,${wide}%)`;
      const took = make("span", row.x ? "du err" : "du", row.w || (row.g && row.e === null ? `${clock(end - row.s)}, goes on` : ""));
      if (left + wide > 72) took.style.right = `calc(${100 - left}% + 6px)`;
      else took.style.left = `calc(${left + wide}% + 6px)`;
      if (left + wide > 72 && left < 28) took.hidden = true;
      scale.append(bar, took);
    } else {
      scale.append(make("span", "du", "told when over"));
    }
    line.append(name, make("div", "num f2", row.t), make("div", "num f2", row.c), scale);
    return line;
  }

  click(event) {
    const line = event.target.closest?.("[data-i]");
    if (!line) return;
    const row = this.rows.get(line.dataset.i);
    if (event.target.closest(".tw") || row.i === this.selected) this.toggle(row);
    else this.select(row);
  }

  toggle(row, to) {
    if (!this.children.has(row.i)) return;
    this.open.set(row.i, to ?? !this.isOpen(row, this.filtered));
    this.shape();
  }

  select(row) {
    this.selected = row.i;
    this.detail = null;
    this.draw(true);
    this.model.send({ k: "open", i: row.i });
  }

  key(event) {
    const at = this.flat.findIndex((row) => row.i === this.selected);
    const row = this.flat[at];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const next = this.flat[Math.min(Math.max(at + step, 0), this.flat.length - 1)];
      if (next) this.select(next);
      const y = Math.max(at + step, 0) * ROW;
      if (y < this.scroll.scrollTop) this.scroll.scrollTop = y;
      else if (y + ROW > this.scroll.scrollTop + this.scroll.clientHeight) {
        this.scroll.scrollTop = y + ROW - this.scroll.clientHeight;
      }
    } else if (row && event.key === "ArrowRight") this.toggle(row, true);
    else if (row && event.key === "ArrowLeft") this.toggle(row, false);
    else if (event.key === "Escape") this.unselect();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  unselect() {
    this.selected = this.detail = null;
    this.det.hidden = true;
    this.draw(true);
  }

  search() {
    clearTimeout(this.searching);
    this.searching = setTimeout(() => {
      this.text = this.field.value.trim();
      if (this.text) this.model.send({ k: "find", text: this.text });
      else {
        this.found = null;
        this.shape();
      }
    }, 200);
  }

  show() {
    const { name, error, facts, parts } = this.detail;
    const header = make("header");
    const row = this.rows.get(this.selected);
    const shut = make("button", "btn quiet");
    shut.type = "button";
    shut.setAttribute("aria-label", "Close detail");
    shut.append(icon("close"));
    shut.addEventListener("click", () => this.unselect());
    header.append(icon(row.k === "tool_call" ? row.tk : row.k), make("span", "b cut", name));
    if (error) header.append(make("span", "err b cut", error));
    header.append(make("span", "grow"), shut);
    const body = make("div", "dg");
    const list = make("dl", "kv");
    for (const [what, value] of facts) {
      const one = make("div");
      one.append(make("dt", "", what), make("dd", "", value));
      list.append(one);
    }
    const box = make("div", "io");
    const names = parts.map(([what]) => what);
    if (names.length) {
      if (!names.includes(this.tab)) this.tab = names.at(-1);
      const tabs = make("div", "tabs");
      tabs.setAttribute("role", "tablist");
      const [, text, note] = parts.find(([what]) => what === this.tab);
      for (const what of names) {
        const tab = make("button", "", what[0].toUpperCase() + what.slice(1));
        tab.type = "button";
        tab.setAttribute("role", "tab");
        tab.setAttribute("aria-selected", String(what === this.tab));
        tab.addEventListener("click", () => {
          this.tab = what;
          this.show();
        });
        tabs.append(tab);
      }
      box.append(tabs, make("pre", "term", text));
      if (note) box.append(make("div", "more", note));
    }
    body.append(list, ...(names.length ? [box] : []));
    this.det.replaceChildren(header, body);
    this.det.hidden = false;
  }
}

const BARS = { model_call: "model", tool_call: "tool", permission: "wait" };

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.close();
  },
};
