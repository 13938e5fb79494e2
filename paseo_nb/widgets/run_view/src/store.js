/**
 * One run's state in the browser, shared by all views of one model.
 *
 * Applies what the kernel sends (numbered deltas), notices gaps and asks for everything again, and
 * gives commands their answers. Knows nothing of the page.
 */

import { list, num, str } from "./text.js";

/**
 * @typedef {Record<string, any>} Row
 * @typedef {{on: Function, off?: Function, send: Function, served?: boolean, beside?: HTMLElement}} Model
 *   `served`: a server is behind it, no kernel; `beside`: what goes into the follow-up box
 * @typedef {{onReset(): void, onRow(i: number): void, onHead(): void, onAsks(gone: Record<string, any>): void, onLink(): void, onDiff(files: any[], said: string): void}} Watcher
 */

const RETRY_MS = [1000, 2000, 4000, 8000];
const SILENT_MS = 10_000; // a busy run's kernel sends a beat every 2 s
const BUSY = new Set(["starting", "running", "waiting", "unresponsive"]);
const NEVER = new Set(["__proto__", "constructor", "prototype"]);

/** Fields of a message as an object without a prototype. @param {any} into @param {unknown} from */
function merge(into, from) {
  if (from && typeof from === "object")
    for (const key of Object.keys(from)) if (!NEVER.has(key)) into[key] = /** @type {any} */ (from)[key];
  return into;
}

const utf8 = new TextDecoder();

/** A message comes as bytes. @param {any} packed @param {DataView[]} [buffers] */
function opened(packed, buffers) {
  return packed?.k === "json" && buffers?.[0] ? JSON.parse(utf8.decode(buffers[0])) : null;
}

/** A text without its first lines. @param {string} text @param {number} lines */
function without(text, lines) {
  let at = 0;
  for (let i = 0; i < lines; i++) {
    const end = text.indexOf("\n", at);
    if (end < 0) return "";
    at = end + 1;
  }
  return at ? text.slice(at) : text;
}

export class Store {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Record<string, any>} */
    this.head = Object.create(null);
    /** @type {Row[]} */
    this.asks = [];
    /** @type {Set<Watcher>} */
    this.watchers = new Set();
    /** @type {Map<string, (answer: {ok: boolean, said: string, clear?: boolean, onto?: string, model?: string}) => void>} */
    this.waiting = new Map();
    /** @type {Map<number, (whole: Row) => void>} */
    this.asked = new Map();
    this.epoch = /** @type {unknown} */ (null);
    this.n = -1;
    this.synced = this.frozen = this.everSynced = false;
    /** @type {{epoch: unknown, n: number, next: number, rows: Row[], first: any, later: any[]} | null} */
    this.parts = null;
    this.skew_ms = 0; // browser's clock minus the kernel's
    this.heard = Date.now();
    this.tries = 0;
    this.timer = 0;
    this.serial = 0;
    this.name = Math.random().toString(36).slice(2, 8);
    this.take = this.take.bind(this);
    model.on("msg:custom", this.take);
    this.watch = setInterval(() => this.listen(), 3000);
  }

  close() {
    clearInterval(this.watch);
    clearTimeout(this.timer);
    this.model.off?.("msg:custom", this.take);
  }

  get busy() {
    return BUSY.has(this.head.state) && !this.frozen;
  }

  /** Whether the kernel has not been heard for long, though the run goes on. */
  get silent() {
    return !this.frozen && (this.busy || !this.everSynced) && Date.now() - this.heard > SILENT_MS;
  }

  now_us() {
    return (Date.now() - this.skew_ms) * 1000;
  }

  // ---------------------------------------------------------------- saying

  /** @param {Record<string, unknown>} message */
  send(message) {
    try {
      this.model.send(message);
    } catch {
      // A dead comm: the watch above says so
    }
  }

  /** Says that somebody is here, and what of the state is known. */
  greet() {
    this.send({ k: "hello", epoch: this.synced ? this.epoch : null, n: this.synced ? this.n : 0 });
  }

  /** Asks for everything, again and again (rarer each time) until it comes. */
  hello() {
    if (this.timer || this.frozen) return;
    this.greet();
    const wait = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      if (!this.synced) this.hello();
    }, wait);
  }

  lost() {
    this.synced = false;
    this.parts = null;
    this.hello();
  }

  listen() {
    if (this.frozen) return;
    if (this.silent) {
      this.tell("onLink");
      this.hello();
    }
  }

  /**
   * A command; resolves with the kernel's answer. `slow` is told when none came for 3 s.
   * @param {string} verb @param {Record<string, unknown>} fields @param {() => void} [slow]
   * @returns {Promise<{ok: boolean, said: string, clear?: boolean, onto?: string, model?: string}>}
   */
  act(verb, fields, slow) {
    const id = `${this.name}-${++this.serial}`;
    this.send({ k: "do", id, verb, ...fields });
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.model.served || slow?.(), 3000);
      this.waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  }

  /** The whole of a call. @param {number} row @returns {Promise<Row>} */
  more(row) {
    this.send({ k: "more", row });
    return new Promise((resolve) => this.asked.set(row, resolve));
  }

  // ---------------------------------------------------------------- hearing

  /** @param {any} packed @param {DataView[]} [buffers] */
  take(packed, buffers) {
    const message = opened(packed, buffers);
    if (!message || this.frozen) return;
    const silent = this.silent;
    this.heard = Date.now();
    if (message.k === "full") this.full(message);
    else if (message.k === "delta") this.delta(message);
    else if (message.k === "at") this.at(message);
    else if (message.k === "done") {
      const answer = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      answer?.({ ok: message.ok === true, said: str(message.said), clear: message.clear === true, onto: str(message.onto), model: str(message.model) });
    } else if (message.k === "more") {
      const row = num(message.row) ?? num(message.call) ?? -1;
      this.asked.get(row)?.(message);
      this.asked.delete(row);
    } else if (message.k === "diff") this.tell("onDiff", list(message.files), str(message.said));
    else if (message.k === "frozen") {
      this.frozen = true;
      clearTimeout(this.timer);
      clearInterval(this.watch);
      this.tell("onHead");
      this.tell("onAsks", {});
    }
    if (silent) this.tell("onLink");
  }

  /** @param {any} message */
  full(message) {
    const parts = num(message.parts) ?? 1;
    const part = num(message.part) ?? 0;
    if (this.synced && message.epoch === this.epoch && message.n === this.n) return; // for another view
    if (part === 0)
      this.parts = { epoch: message.epoch, n: num(message.n) ?? 0, next: 0, rows: [], first: message, later: [] };
    const got = this.parts;
    if (!got || got.epoch !== message.epoch || got.n !== message.n || got.next !== part) return this.lost();
    for (const row of list(message.rows)) got.rows.push(row);
    if (++got.next < parts) return;
    this.parts = null;
    this.epoch = got.epoch;
    this.n = got.n;
    this.rows = got.rows;
    this.head = merge(Object.create(null), got.first.head);
    this.asks = list(got.first.asks);
    this.synced = this.everSynced = true;
    this.tries = 0;
    clearTimeout(this.timer);
    this.timer = 0;
    this.clocked();
    this.tell("onReset");
    for (const later of got.later) this.delta(later);
  }

  /** @param {any} message */
  delta(message) {
    if (this.parts && message.epoch === this.parts.epoch) {
      if (message.n > this.parts.n) this.parts.later.push(message);
      return;
    }
    if (!this.synced) return this.hello();
    if (message.epoch === this.epoch && message.n <= this.n) return;
    if (message.epoch !== this.epoch || message.n !== this.n + 1) return this.lost();
    this.n = message.n;
    for (const op of list(message.ops)) if (!this.apply(list(op))) return this.lost();
  }

  /** @param {any} message */
  at(message) {
    if (this.parts) return;
    if (!this.synced || message.epoch !== this.epoch || message.n !== this.n) this.lost();
  }

  /** One op; false where it does not fit what is here. @param {any[]} op */
  apply([name, where, what, drop]) {
    if (name === "h") {
      merge(this.head, where);
      if (where && typeof where === "object" && "now_us" in where) this.clocked();
      this.tell("onHead");
    } else if (name === "a") {
      this.asks = list(where);
      this.tell("onAsks", what && typeof what === "object" ? what : {});
    } else if (name === "r") {
      if (!Number.isInteger(where) || where < 0 || where > this.rows.length) return false;
      this.rows[where] = what;
      this.tell("onRow", where);
    } else if (name === "m" || name === "t" || name === "o") {
      const row = Number.isInteger(where) ? this.rows[where] : null;
      if (!row || typeof row !== "object") return false;
      if (name === "m") merge(row, what);
      else if (name === "t") row.text = str(row.text) + str(what);
      else row.output = without(str(row.output) + str(what), num(drop) ?? 0);
      this.tell("onRow", where);
    }
    return true;
  }

  clocked() {
    const now = num(this.head.now_us);
    if (now !== null) this.skew_ms = Date.now() - now / 1000;
  }

  /** @param {keyof Watcher} what @param {...any} values */
  tell(what, ...values) {
    for (const watcher of this.watchers) /** @type {any} */ (watcher)[what](...values);
  }
}
