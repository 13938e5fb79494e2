/**
 * The board in the browser, shared by all views of one model.
 *
 * Applies what the kernel sends, asks for everything where a message is missing, tells it every few
 * seconds that somebody looks, and gives commands their answers. Knows nothing of the page.
 */

import { list, num, str } from "../../run_view/src/text.js";

const HERE_MS = 8000; // the kernel looks for 25 s after the last word
const SILENT_MS = 30_000;
const GLANCE_MS = 30_000; // so often the kernel is asked though nobody looks, for the page's title

/** @typedef {Record<string, any>} Line */

export class Store {
  /** @param {any} model a widget's; or a page's, which is `served` by no kernel and may have its own way to `open` a run */
  constructor(model) {
    this.model = model;
    /** @type {Map<string, Line>} */
    this.lines = new Map();
    /** @type {string[]} */
    this.order = [];
    /** @type {Line} */
    this.head = {};
    /** @type {Line[]} */
    this.asks = [];
    /** @type {Set<any>} */
    this.watchers = new Set();
    /** @type {Map<string, (answer: any) => void>} */
    this.waiting = new Map();
    this.n = 0;
    this.synced = false;
    this.skew_ms = 0;
    this.serial = 0;
    this.asked = 0; // when it was last told that somebody looks
    this.owed = 0; // since when it owes an answer to that
    this.name = Math.random().toString(36).slice(2, 8);
    this.take = this.take.bind(this);
    model.on("msg:custom", this.take);
    this.timer = setInterval(() => this.here(), HERE_MS);
  }

  close() {
    clearInterval(this.timer);
    this.model.off?.("msg:custom", this.take);
  }

  now_us() {
    return (Date.now() - this.skew_ms) * 1000;
  }

  /** Whether the kernel has not answered for long: it is busy with a cell, or gone. */
  get silent() {
    return this.owed > 0 && Date.now() - this.owed > SILENT_MS;
  }

  /** @param {any} message */
  send(message) {
    try {
      this.model.send(message);
    } catch {
      // A dead comm
    }
  }

  /** Says that somebody looks, where somebody does. */
  here() {
    const looks = [...this.watchers].some((watcher) => watcher.seen());
    if (!looks && (!this.synced || !this.watchers.size || Date.now() - this.asked < GLANCE_MS)) return;
    this.asked = Date.now();
    this.owed ||= this.asked;
    this.send({ k: looks ? (this.synced ? "here" : "hello") : "glance" });
  }

  hello() {
    this.synced = false;
    this.send({ k: "hello" });
  }

  /**
   * @param {string} run @param {string} verb @param {Record<string, unknown>} fields
   * @param {() => void} [slow] told when no answer came for 3 s
   * @returns {Promise<any>}
   */
  act(run, verb, fields = {}, slow) {
    const id = `${this.name}-${++this.serial}`;
    this.send({ k: "do", id, run, verb, ...fields });
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.model.served || slow?.(), 3000);
      this.waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  }

  /** @param {any} message */
  take(message) {
    if (!message || typeof message !== "object") return;
    this.owed = 0;
    if (message.k === "done") {
      const answer = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      answer?.({ ok: message.ok === true, said: str(message.said), model: str(message.model) });
      return;
    }
    if (message.k === "at" && this.synced && message.n !== this.n) return this.hello();
    if (message.k !== "board") return;
    const whole = message.whole === true;
    if (!whole && (!this.synced || message.n !== this.n + 1)) return this.hello();
    if (whole) this.lines.clear();
    this.n = num(message.n) ?? 0;
    this.synced = true;
    for (const line of list(message.lines)) if (line && typeof line === "object") this.lines.set(str(line.id), line);
    if (Array.isArray(message.order)) this.order = message.order.map(str).filter((id) => this.lines.has(id));
    if (message.head && typeof message.head === "object") this.head = message.head;
    if (Array.isArray(message.asks)) this.asks = message.asks.filter((/** @type {any} */ ask) => ask && typeof ask === "object");
    const now = num(message.now_us);
    if (now !== null) this.skew_ms = Date.now() - now / 1000;
    for (const watcher of this.watchers) watcher.update();
  }
}
