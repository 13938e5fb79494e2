/** A run's trace in its view: the notebook's own, fed from the server in place of a kernel. */

import trace from "./trace.js";
import { h, Model } from "./dom.js";

const LIVE_MS = 2000;
const SHARE = 0.1; // of the time, at most, that reading a live trace may take

/** @returns {{el: HTMLElement, remove: () => void}} */
export function traceView(server, run) {
  const el = h("div");
  const trouble = h("p.rv-say", { role: "status", hidden: true });
  let timer = 0;
  let over = false;
  const ask = async (query) => {
    try {
      const told = await server.get(`runs/${encodeURIComponent(run)}/trace`, query);
      trouble.hidden = true;
      return told;
    } catch (error) {
      trouble.textContent = error instanceof Error ? error.message : "That did not work.";
      trouble.hidden = false;
      return null;
    }
  };
  const model = new Model();
  model.send = async (message) => {
    if (message.k === "open") {
      const told = await ask({ span: message.i });
      if (told?.k === "detail") model.say(told);
    } else if (message.k === "find") {
      const told = await ask({ find: message.text });
      if (told) model.say({ k: "found", text: message.text, ids: told.ids ?? [] });
    }
  };
  const look = async () => {
    const began = Date.now();
    const told = document.hidden ? null : await ask({});
    if (over) return;
    if (told) model.say({ k: "trace", n: 1, whole: true, rows: told.rows ?? [], head: told.head ?? {} });
    if (!told || told.head?.live) timer = setTimeout(() => void look(), Math.max(LIVE_MS, (Date.now() - began) / SHARE));
  };
  const close = trace.render({ model, el });
  el.prepend(trouble);
  setTimeout(() => void look());
  const remove = () => {
    over = true;
    clearTimeout(timer);
    close();
    el.remove();
  };
  return { el, remove };
}
