/**
 * The page: which of its screens is shown, by the part of the address behind `#`. A token that comes
 * there is kept, and leaves the address before anything else is done.
 */

import dashboard from "./dashboard.js";
import runView from "./run_view.js";
import { BoardModel } from "./board.js";
import { door } from "./door.js";
import { h } from "./dom.js";
import { Photos } from "./photos.js";
import { RunModel } from "./run.js";
import { Server } from "./server.js";

const $ = (id) => document.getElementById(id);
const server = new Server();
let board = null; // while let in: what ends the list
let shown = null; // what ends the run's screen

/** A screen of the notebook's own. @returns {() => void} its end */
function mount(widget, model, el) {
  const { initialize, render } = widget();
  const close = initialize({ model });
  const leave = render({ el });
  return () => {
    leave?.();
    close?.();
    model.close();
  };
}

function enter() {
  leave();
  $("door").hidden = true;
  const forget = h("button.btn.quiet", { type: "button", onclick: () => { server.token = ""; leave(); shut(false); } }, "Forget this phone");
  const model = new BoardModel(server, (run) => (location.hash = `#/run/${run}`), (trouble) => {
    $("band").hidden = !trouble;
    $("band").textContent = trouble && `${trouble} It is tried again.`;
  });
  const end = mount(dashboard, model, $("list"));
  const foot = h("p.pn.foot", null, server.token ? forget : "");
  $("list").append(foot);
  board = () => {
    end();
    foot.remove();
  };
  route();
}

function leave() {
  shown?.();
  board?.();
  shown = board = null;
  $("band").hidden = true;
}

function shut(was) {
  for (const id of ["list", "run"]) $(id).hidden = true;
  $("door").hidden = false;
  door($("door"), was, (token) => {
    server.token = token;
    enter();
  });
}

function route() {
  if (!board) return;
  const run = /^#\/run\/([0-9A-Z]{1,64})$/.exec(location.hash)?.[1];
  shown?.();
  shown = null;
  $("list").hidden = Boolean(run);
  $("run").hidden = !run;
  if (run) shown = show(run);
  scrollTo(0, 0);
}

function show(run) {
  const photos = new Photos(server);
  const place = h("div.place");
  const back = h("button.btn.quiet.back", { type: "button", onclick: () => (history.length > 1 && came ? history.back() : (location.hash = "")) }, "‹ Runs");
  const came = cameFromList;
  const model = new RunModel(server, run, photos, () => place.replaceChildren(h("p.pn.gone", null, "There is no such run here, or it is not for this phone.")));
  $("run").replaceChildren(h("nav.pn", null, back), place);
  const end = mount(runView, model, place);
  return () => {
    end();
    photos.clear();
    $("run").replaceChildren();
  };
}

let cameFromList = false;
addEventListener("hashchange", (e) => {
  cameFromList = new URL(e.oldURL).hash === "" || new URL(e.oldURL).hash === "#";
  const token = taken();
  if (token) enter();
  else route();
});

/** A token in the address, out of it and kept. */
function taken() {
  const token = /^#(paseo_[\w-]{20,})$/.exec(location.hash)?.[1];
  if (!token) return false;
  history.replaceState(null, "", location.pathname);
  server.token = token;
  return true;
}

server.onOut = (was) => {
  if (!board) return;
  server.token = "";
  leave();
  shut(was);
};
taken();
enter();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => undefined);
