/**
 * Puts HTML that the kernel renders in place, without a flicker: what is the same stays the same node.
 * Everything from outside is escaped in that HTML; it is parsed by DOMParser, so that nothing in it
 * could run before it is looked at: attributes that are code, and elements that load or run something,
 * are left out here once more. Stands before a widget's own script (`scripts.py`), with no build.
 */

const SAFE = new Set(["DIV", "SPAN", "B", "I", "P", "PRE", "CODE", "DETAILS", "SUMMARY", "BUTTON",
  "STRONG", "EM", "UL", "OL", "LI", "TABLE", "THEAD", "TBODY", "TR", "TD", "TH", "CAPTION", "BR",
  "H1", "H2", "H3", "H4", "BLOCKQUOTE", "DEL", "INS", "HR", "A", "SVG", "PATH", "RECT", "TEXT", "IMG",
  "SMALL", "SUB", "SUP", "KBD", "S", "U", "FIGURE"]);

/** @param {Element} element */
function isSafe(element) {
  return SAFE.has(element.tagName.toUpperCase());
}

/** @param {Element} from @param {Element} to */
function copyAttributes(from, to) {
  for (const { name } of [...to.attributes]) {
    if (!from.hasAttribute(name) && name !== "open") to.removeAttribute(name);
  }
  for (const { name, value } of from.attributes) {
    const loads = (name === "href" || name === "src") && !/^(https?:|data:image\/(png|jpeg|gif|webp);)/i.test(value);
    if (name.startsWith("on") || loads || (name === "open" && to.hasAttribute("data-step"))) continue;
    if (to.getAttribute(name) !== value) to.setAttribute(name, value);
  }
}

/** Make the children of `to` like those of `from`. What is in an element with `data-own` is the
 * script's own.
 * @param {Element} from @param {Element} to */
function morph(from, to) {
  const wanted = [...from.childNodes].filter((node) => node.nodeType === 3 || (node.nodeType === 1 && isSafe(node)));
  wanted.forEach((node, at) => {
    const there = to.childNodes[at];
    if (node.nodeType === 3) {
      if (there?.nodeType === 3) {
        if (there.data !== node.data) there.data = node.data;
      } else to.insertBefore(document.createTextNode(node.data), there ?? null);
      return;
    }
    let mine = there;
    if (mine?.nodeType !== 1 || mine.tagName !== node.tagName || mine.dataset?.step !== node.dataset?.step
        || mine.dataset?.own !== node.dataset?.own) {
      mine = document.createElementNS(node.namespaceURI, node.localName);
      to.insertBefore(mine, there ?? null);
    }
    copyAttributes(node, mine);
    if (!node.hasAttribute("data-own")) morph(node, mine);
  });
  while (to.childNodes.length > wanted.length) to.lastChild.remove();
}

/** @param {Element} root @param {string} html */
function putInPlace(root, html) {
  morph(new DOMParser().parseFromString(html, "text/html").body, root);
}
