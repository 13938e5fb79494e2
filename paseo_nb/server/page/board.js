/** The board as the dashboard's front end wants it: the server's long poll in place of a kernel. */

import { Model } from "./dom.js";
import { Refused } from "./server.js";

const REST_MS = [1000, 2000, 5000, 10_000, 30_000]; // between two looks for a server that is gone

export class BoardModel extends Model {
  /** @param {import("./server.js").Server} server @param {(run: string) => void} open @param {(trouble: string) => void} linked */
  constructor(server, open, linked) {
    super();
    this.server = server;
    this.open = open;
    this.linked = linked;
    this.told = null;
    this.n = 0;
    this.stop = new AbortController();
    this.ended = false;
    this.seen = () => document.hidden || this.wake?.();
    document.addEventListener("visibilitychange", this.seen);
    addEventListener("online", this.seen);
    void this.listen();
  }

  close() {
    this.ended = true;
    this.stop.abort();
    this.wake?.();
    document.removeEventListener("visibilitychange", this.seen);
    removeEventListener("online", this.seen);
  }

  send(message) {
    if (message.k === "hello" && this.told) this.whole();
    else if (message.k === "here" || message.k === "glance") this.heard && this.say({ k: "at", n: this.n });
    else if (message.k === "do") void this.act(message);
  }

  whole() {
    this.n++;
    const lines = Array.isArray(this.told.lines) ? this.told.lines : [];
    this.say({ ...this.told, k: "board", whole: true, n: this.n, lines, order: lines.map((line) => line?.id) });
  }

  async act({ id, run, verb, ...fields }) {
    delete fields.k;
    const answer = await acted(this.server, run, { ...fields, verb });
    this.say({ k: "done", id, ...answer });
  }

  async listen() {
    let failed = 0;
    let known = 0;
    while (!this.ended) {
      try {
        const told = await this.server.get("board", { known, no_track_activity: 1 }, this.stop.signal);
        failed = 0;
        this.heard = true;
        this.linked("");
        if (told.n !== known) {
          this.told = told;
          known = told.n;
          this.whole();
        }
        if (document.hidden) await this.rest(3_600_000);
      } catch (error) {
        if (this.ended) return;
        this.heard = false;
        known = 0;
        if (failed > 0) this.linked(error instanceof Refused ? error.message : "The server does not answer.");
        await this.rest(REST_MS[Math.min(failed++, REST_MS.length - 1)]);
      }
    }
  }

  /** Waits, or until somebody looks again. */
  rest(ms) {
    return new Promise((over) => {
      const timer = setTimeout(over, ms);
      this.wake = () => {
        clearTimeout(timer);
        over();
      };
    });
  }
}

/** Has something done with a run. @returns {Promise<{ok: boolean, said: string}>} */
export async function acted(server, run, body) {
  try {
    const told = await server.post(`runs/${encodeURIComponent(run)}/act`, body);
    return { ...told, k: "done", ok: told.ok === true, said: typeof told.said === "string" ? told.said : "" };
  } catch (error) {
    return { ok: false, said: error instanceof Refused ? error.message : "That did not work." };
  }
}
