/** What is shown to who is not let in: why, what to do, and a field for a token. */

import { h } from "./dom.js";

/** @param {HTMLElement} el @param {boolean} was paired before @param {(token: string) => void} enter */
export function door(el, was, enter) {
  const field = h("input.field", { type: "text", name: "token", autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "paseo_…", "aria-label": "Token" });
  const said = h("p.err", { role: "status" });
  const go = (e) => {
    e.preventDefault();
    const token = field.value.trim().split("#").pop();
    if (/^paseo_[\w-]{20,}$/.test(token)) enter(token);
    else said.textContent = "A token begins with paseo_. It is shown beside the code.";
  };
  el.replaceChildren(
    h(
      "div.card.way-in", null,
      h("h1", null, was ? "This phone is not paired any more" : "This phone is not paired"),
      h("p", null, was ? "Its token has expired, or was taken back. The runs go on without it." : "Pair it where the runs are:"),
      h("ul", null, h("li", null, "in a notebook of the project, ", h("code", null, "paseo.pair()")), h("li", null, "in a terminal there, ", h("code", null, "paseo-nb pair"))),
      h("p", null, "Then scan the code that is shown, or paste the token:"),
      h("form", { onsubmit: go }, field, h("button.btn.pri", { type: "submit" }, "Pair")),
      said,
    ),
  );
}
