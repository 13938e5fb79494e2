/** The Jupyter Server's routes of ours (docs/openapi.json), with the token of this device. */

const KEPT = `paseo-token ${new URL(".", location.href).pathname}`;
const AGAIN_MS = [300, 1000, 2000, 4000, 8000];

/** A refusal in words that may be shown. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Server {
  constructor() {
    this.base = new URL("api/", location.href.split(/[?#]/)[0]);
    /** Told when the server lets this device in no more. */
    this.onOut = () => undefined;
  }

  get token() {
    try {
      return localStorage.getItem(KEPT) ?? "";
    } catch {
      return this.held ?? ""; // a browser that keeps nothing
    }
  }

  set token(token) {
    this.held = token;
    try {
      if (token) localStorage.setItem(KEPT, token);
      else localStorage.removeItem(KEPT);
    } catch {
      // as above
    }
  }

  get(path, query = {}, signal = undefined) {
    return this.ask(path, { method: "GET", signal }, query);
  }

  /** Done once, however often it has to be asked for: also over a line that breaks. */
  async post(path, body) {
    const headers = { "Paseo-Key": `phone-${[...crypto.getRandomValues(new Uint32Array(4))].join("-")}`, "Content-Type": "application/json" };
    for (let failed = 0; ; ) {
      try {
        const told = await this.ask(path, { method: "POST", body: JSON.stringify(body), headers });
        if (told.pending !== true) return told;
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 0 || failed >= AGAIN_MS.length) throw error;
      }
      await new Promise((over) => setTimeout(over, AGAIN_MS[Math.min(failed++, AGAIN_MS.length - 1)]));
    }
  }

  put(path, query, body) {
    return this.ask(path, { method: "PUT", body, headers: { "Content-Type": "application/octet-stream" } }, query);
  }

  /** A WebSocket. The token stands beside it, not in its address. */
  socket(path) {
    const url = new URL(path, this.base);
    url.protocol = url.protocol.replace("http", "ws");
    return new WebSocket(url, this.token ? ["paseo", this.token] : ["paseo"]);
  }

  async ask(path, init, query = {}) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    const { token } = this;
    const headers = new Headers(init.headers);
    if (token) headers.set("Authorization", `token ${token}`);
    else headers.set("X-XSRFToken", /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1] ?? "");
    let answer;
    try {
      answer = await fetch(url, { ...init, headers, credentials: token ? "omit" : "same-origin", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Refused(0, "The server does not answer.");
    }
    const said = await answer.json().catch(() => null);
    if (answer.ok && said && typeof said === "object") return said;
    const message = said?.error?.message;
    const refused = new Refused(answer.status, typeof message === "string" ? message.slice(0, 500) : `The server answered ${answer.status}.`);
    if (answer.status === 403 && (said?.error?.code === "NotPaired" || path === "board")) this.onOut(token !== "");
    throw refused;
  }
}
