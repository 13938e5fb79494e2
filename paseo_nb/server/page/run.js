/** One run as the run view's front end wants it: its rows over a WebSocket, what is asked of it by `act`. */

import { acted } from "./board.js";
import { Model } from "./dom.js";
import { Refused } from "./server.js";
import { traceView } from "./spans.js";

const REST_MS = [500, 1000, 2000, 5000, 10_000];
const OUT = 1008; // the token is good for nothing any more
const NO_RUN = 4404;

export class RunModel extends Model {
  /** @param {import("./server.js").Server} server @param {string} run @param {import("./photos.js").Photos} photos @param {(what: "gone") => void} tell */
  constructor(server, run, photos, tell) {
    super();
    this.server = server;
    this.run = run;
    this.photos = photos;
    this.beside = photos.el;
    this.tell = tell;
    this.ended = false;
    this.failed = 0;
    this.widget_manager = { get_model: async (id) => id, create_view: async () => traceView(server, run) };
    this.seen = () => document.hidden || this.line?.readyState === WebSocket.OPEN || this.connect();
    document.addEventListener("visibilitychange", this.seen);
    addEventListener("online", this.seen);
    this.connect();
  }

  close() {
    this.ended = true;
    clearTimeout(this.timer);
    this.line?.close();
    document.removeEventListener("visibilitychange", this.seen);
    removeEventListener("online", this.seen);
  }

  connect() {
    clearTimeout(this.timer);
    if (this.line && this.line.readyState <= WebSocket.OPEN) return;
    const line = (this.line = this.server.socket(`runs/${encodeURIComponent(this.run)}/view`));
    line.binaryType = "arraybuffer";
    line.onopen = () => (this.failed = 0);
    line.onmessage = (e) => {
      if (line === this.line && e.data instanceof ArrayBuffer) this.say({ k: "json" }, [new DataView(e.data)]);
    };
    line.onclose = (e) => {
      if (this.ended || line !== this.line) return;
      if (e.code === NO_RUN) return this.tell("gone");
      if (e.code === OUT) return this.server.onOut(true);
      // a refused handshake looks like a broken line: the board, which is asked all the while, tells
      this.timer = setTimeout(() => this.connect(), REST_MS[Math.min(this.failed++, REST_MS.length - 1)]);
    };
  }

  send(message) {
    if (message.k === "do") void this.act(message);
    else if (message.k === "diff") void this.diff();
    else if (this.line.readyState === WebSocket.OPEN) this.line.send(JSON.stringify(message));
  }

  /** As the front end hears it from a kernel. */
  answer(message) {
    this.say({ k: "json" }, [new DataView(new TextEncoder().encode(JSON.stringify(message)).buffer)]);
  }

  async act({ id, verb, ...fields }) {
    delete fields.k;
    await null; // who asks listens for the answer only then
    if (verb === "trace") return this.answer({ k: "done", id, ok: true, said: "", model: "trace" });
    if (verb !== "send") return this.answer({ k: "done", ...(await acted(this.server, this.run, { ...fields, verb })), id });
    const attach = await this.photos.ready();
    if (!attach) return this.answer({ k: "done", id, ok: false, said: "A photo could not be sent. Take it out, or choose it again." });
    const told = await acted(this.server, this.run, { ...fields, verb, ...(attach.length ? { attach } : {}) });
    if (told.ok) this.photos.clear();
    this.answer({ k: "done", ...told, id });
  }

  async diff() {
    try {
      let told;
      do told = await this.server.get(`runs/${encodeURIComponent(this.run)}/changes`);
      while (told.pending === true && !this.ended);
      this.answer({ ...told, k: "diff" });
    } catch (error) {
      this.answer({ k: "diff", files: [], said: error instanceof Refused ? error.message : "That did not work." });
    }
  }
}
