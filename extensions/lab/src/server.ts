/** The Jupyter Server's routes of ours (docs/openapi.json), about one project. */

import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";

export type Json = Record<string, any>;
type Query = Record<string, string | number | string[]>;

/** A refusal in words that may be shown. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const ABSENT = "The server does not serve paseo_nb. Run `jupyter server extension enable paseo_nb.server` where Jupyter is installed, then start Jupyter again.";
const AGAIN_MS = 300;

export class Server {
  private settings = ServerConnection.makeSettings();

  /** @param project a folder below the server's own; empty: that itself */
  constructor(readonly project: string) {}

  get(path: string, query: Query = {}, signal?: AbortSignal): Promise<Json> {
    return this.ask(path, { method: "GET", signal }, query);
  }

  /** Done once, however often it has to be asked for until it is over. */
  async post(path: string, body: Json): Promise<Json> {
    const headers = { "Paseo-Key": `lab-${crypto.getRandomValues(new Uint32Array(4)).join("-")}` };
    for (;;) {
      const told = await this.ask(path, { method: "POST", body: JSON.stringify(body), headers }, {});
      if (told.pending !== true) return told;
      await new Promise((over) => setTimeout(over, AGAIN_MS));
    }
  }

  private async ask(path: string, init: RequestInit, query: Query): Promise<Json> {
    const told = new URLSearchParams(this.project ? { project: this.project } : {});
    for (const [name, value] of Object.entries(query)) for (const one of [value].flat()) told.append(name, String(one));
    const url = `${URLExt.join(this.settings.baseUrl, "paseo/api", path)}?${told}`;
    let answer: Response;
    try {
      answer = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Refused(0, "The server does not answer.");
    }
    const said = await answer.json().catch(() => null);
    if (answer.ok && said && typeof said === "object") return said;
    const message = said?.error?.message;
    throw new Refused(answer.status, typeof message === "string" ? message : answer.status === 404 ? ABSENT : `The server answered ${answer.status}.`);
  }
}
