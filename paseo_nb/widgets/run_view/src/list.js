/**
 * A list of which only the visible rows are in the page.
 *
 * Heights are guessed, then measured; what the reader looks at never moves: either the tail is
 * followed, or the first visible row keeps its place while rows above it find their true heights.
 */

const OVERSCAN = 500; // px above and below what is seen
const NEAR = 12; // px from the end that count as "at the tail"

/**
 * @typedef {object} Part one row in the page
 * @property {HTMLElement} el
 * @property {() => void} update
 * @property {() => void} [close]
 */

export class List {
  /**
   * @param {HTMLElement} scroller
   * @param {{make: (i: number) => Part, guess: (i: number) => number, look: (i: number) => string, moved: () => void}} owner
   */
  constructor(scroller, owner) {
    this.scroller = scroller;
    this.owner = owner;
    this.body = document.createElement("div");
    this.body.className = "rv-rows";
    scroller.appendChild(this.body);
    this.count = this.from = 0;
    /** @type {number[]} measured heights, else guessed ones */
    this.heights = [];
    /** @type {number[]} */
    this.tops = [0];
    this.exact = 0; // tops are right up to here
    /** @type {Map<number, Part & {top: number, look: string}>} */
    this.shown = new Map();
    /** @type {Set<number>} */
    this.stale = new Set();
    this.follow = true;
    this.lastTop = 0;
    this.frame = 0;
    this.y = this.width = this.tall = 0;
    this.room = 300;
    this.resized = new ResizeObserver((entries) => this.remeasured(entries));
    this.resized.observe(scroller);
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
  }

  close() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
    for (const part of this.shown.values()) part.close?.();
    this.shown.clear();
  }

  // ---------------------------------------------------------------- what changed

  /** Everything anew. @param {number} count @param {number} from the first row that is shown */
  reset(count, from) {
    for (const part of this.shown.values()) {
      this.resized.unobserve(part.el);
      part.close?.();
      part.el.remove();
    }
    this.shown.clear();
    this.stale.clear();
    this.count = count;
    this.from = Math.min(from, count);
    const known = this.heights;
    this.heights = [];
    for (let i = 0; i < count; i++) this.heights.push(i < from ? 0 : known[i] || this.owner.guess(i));
    this.exact = 0;
    this.plan();
  }

  /** @param {number} i */
  dirty(i) {
    if (i >= this.count) {
      for (let k = this.count; k <= i; k++) this.heights[k] = this.owner.guess(k);
      this.exact = Math.min(this.exact, this.count);
      this.count = i + 1;
    }
    this.stale.add(i);
    this.plan();
  }

  plan() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.layout();
    });
  }

  toTail() {
    this.follow = true;
    this.layout();
  }

  get atTail() {
    return this.follow;
  }

  // ---------------------------------------------------------------- where things are

  sums() {
    for (let i = this.exact; i < this.count; i++) this.tops[i + 1] = (this.tops[i] ?? 0) + this.heights[i];
    this.tops.length = this.count + 1;
    this.exact = this.count;
  }

  get total() {
    return this.tops[this.count] ?? 0;
  }

  /** The row at a height. @param {number} y */
  at(y) {
    let low = this.from;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(this.count - 1, 0));
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const near = scrollHeight - scrollTop - clientHeight < NEAR;
    if (near) this.follow = true;
    else if (scrollTop < this.lastTop - 1) this.follow = false;
    this.lastTop = scrollTop;
    this.layout();
  }

  /** @param {ResizeObserverEntry[]} entries */
  remeasured(entries) {
    const tall = this.scroller.clientHeight;
    let changed = tall !== this.tall;
    this.tall = tall;
    for (const entry of entries) {
      const i = Number(/** @type {HTMLElement} */ (entry.target).dataset.row ?? -1);
      const part = this.shown.get(i);
      if (entry.target === this.scroller || !part || part.el !== entry.target) continue;
      const height = entry.borderBoxSize[0].blockSize;
      if (Math.abs(height - this.heights[i]) > 0.25) changed = true;
    }
    if (changed) this.settle(this.hold()); // places only; rows come and go in the next frame
    if (changed || this.scroller.clientWidth !== this.width) this.plan();
  }

  /** What must stay where it is: the tail, or a row and how far it is scrolled. */
  hold() {
    this.sums();
    this.y = this.scroller.scrollTop; // read once, before anything is written
    if (this.follow) return null;
    const row = this.at(this.y);
    return { row, offset: this.y - (this.tops[row] ?? 0) };
  }

  /** Measures what is shown and puts everything in its place. @param {{row: number, offset: number} | null} held */
  settle(held) {
    for (const [i, part] of this.shown) {
      const height = part.el.getBoundingClientRect().height;
      if (Math.abs(height - this.heights[i]) > 0.25) {
        this.heights[i] = height;
        this.exact = Math.min(this.exact, i);
      }
    }
    this.sums();
    for (const [i, part] of this.shown) {
      if (part.top === this.tops[i]) continue;
      part.top = this.tops[i];
      part.el.style.top = `${part.top}px`;
    }
    const height = `${Math.ceil(this.total)}px`;
    if (this.body.style.height !== height) this.body.style.height = height;
    const wanted = held ? (this.tops[held.row] ?? 0) + held.offset : Infinity;
    if (held && Math.abs(wanted - this.y) <= 0.5) return;
    this.scroller.scrollTop = held ? wanted : this.total + 10_000;
    this.y = this.lastTop = this.scroller.scrollTop;
  }

  layout() {
    this.width = this.scroller.clientWidth;
    if (!this.width) return; // not in the page, or hidden
    this.room = Math.max(this.scroller.clientHeight, 300);
    const held = this.hold();
    let stale = this.stale.size > 0 || !held;
    for (const i of this.stale) this.shown.get(i)?.update();
    for (const i of this.stale) if (!this.shown.has(i)) this.heights[i] ??= this.owner.guess(i);
    this.stale.clear();
    for (let pass = 0; pass < 4; pass++) {
      const fresh = this.fill(held);
      if (fresh || stale) this.settle(held);
      stale = false;
      if (!fresh) break;
    }
    this.owner.moved();
  }

  /** Rows that came into sight are put in, others taken out; true where that needs another look. @param {ReturnType<List["hold"]>} held */
  fill(held) {
    const { room } = this;
    const top = held ? (this.tops[held.row] ?? 0) + held.offset : this.total - room;
    const first = this.count ? Math.max(this.at(Math.max(top - OVERSCAN, 0)), this.from) : 0;
    const last = this.count ? this.at(top + room + OVERSCAN) : -1;
    const focused = this.focusedRow();
    let fresh = false;
    for (const [i, part] of this.shown) {
      if ((i >= first && i <= last) || i === focused) continue;
      this.resized.unobserve(part.el);
      part.close?.();
      part.el.remove();
      this.shown.delete(i);
    }
    let next = /** @type {Element | null} */ (this.body.firstElementChild);
    for (let i = first; i <= last; i++) {
      while (next && Number(/** @type {HTMLElement} */ (next).dataset.row) < i) next = next.nextElementSibling;
      const known = this.shown.get(i);
      if (known) {
        next = known.el.nextElementSibling;
        continue;
      }
      const part = Object.assign(this.owner.make(i), { top: -1, look: "?" });
      part.el.dataset.row = String(i);
      this.body.insertBefore(part.el, next);
      this.shown.set(i, part);
      this.resized.observe(part.el);
      fresh = true;
    }
    for (const [i, part] of this.shown) {
      const look = this.owner.look(i);
      if (look === part.look) continue;
      part.look = look;
      part.el.className = look ? `u ${look}` : "u";
    }
    return fresh;
  }

  focusedRow() {
    const root = /** @type {Document | ShadowRoot} */ (this.scroller.getRootNode());
    const node = root.activeElement?.closest?.("[data-row]");
    return node && this.body.contains(node) ? Number(/** @type {HTMLElement} */ (node).dataset.row) : -1;
  }
}
