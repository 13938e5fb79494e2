/** Elements without HTML: names and attributes are ours, everything else becomes a text node. */

/** @param {string} spec `tag.class` @param {Record<string, any> | null} [props] @param {...any} kids */
export function h(spec, props, ...kids) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...kids.flat().filter((kid) => kid != null && kid !== false));
  return node;
}

/** What has no kernel behind it, as the widgets' front ends want their model. */
export class Model {
  served = true;
  #hear = new Set();

  on(_, hear) {
    this.#hear.add(hear);
  }

  off(_, hear) {
    this.#hear.delete(hear);
  }

  say(message, buffers) {
    for (const hear of [...this.#hear]) hear(message, buffers);
  }
}
