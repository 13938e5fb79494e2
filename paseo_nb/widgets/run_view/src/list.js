/**
 * A list of which only the visible rows are in the page.
 *
 * Heights are guessed, then measured; what the reader looks at never moves: either the tail is
 * followed, or the first visible row keeps its place while rows above it find their true heights.
 */

const MARGIN = 200; // px above and below what is seen that are never left without their rows
const OVERSCAN = 600; // px that are filled when a row of those lacks, over several frames
const KEEP = 1400; // px from which on rows are taken out
const SEEN_MS = 6; // about what a frame may take to put rows in that are seen…
const AHEAD_MS = 3; // …and those that are not seen yet
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
    this.cost = 0; // ms that a new row takes here, as measured
    this.filling = false; // rows lack that the next frame puts in
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
    this.plan(); // still in this frame, once, however much else there is to do in it
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
    let row = this.at(this.y);
    const end = this.y + this.room;
    for (let i = row; i < this.count && this.tops[i] < end; i++) // rather one whose height is known
      if (this.shown.has(i)) {
        row = i;
        break;
      }
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
    const begun = performance.now();
    this.room = Math.max(this.scroller.clientHeight, 300);
    const held = this.hold();
    let stale = this.stale.size > 0 || !held;
    for (const i of this.stale) this.shown.get(i)?.update();
    for (const i of this.stale) if (!this.shown.has(i)) this.heights[i] ??= this.owner.guess(i);
    this.stale.clear();
    let made = 0;
    for (let pass = 0; pass < 4; pass++) {
      const fresh = this.fill(held, made);
      made += fresh;
      if (fresh || stale) this.settle(held);
      stale = false;
      if (!fresh) break;
    }
    if (made) {
      const each = (performance.now() - begun) / made;
      this.cost = this.cost ? 0.7 * this.cost + 0.3 * each : each;
    }
    if (this.filling) this.plan();
    this.owner.moved();
  }

  /**
   * Rows that came near are put in, what is seen first, others taken out. A frame takes as many as
   * it has time for (all, at the very first), and leaves the rest to the next one.
   * @param {ReturnType<List["hold"]>} held @param {number} made in this frame so far
   * @returns {number} how many were put in
   */
  fill(held, made) {
    const top = held ? (this.tops[held.row] ?? 0) + held.offset : this.total - this.room;
    const [first, last] = this.around(top, KEEP);
    const focused = this.focusedRow();
    for (const [i, part] of this.shown) {
      if ((i >= first && i <= last) || i === focused) continue;
      this.resized.unobserve(part.el);
      part.close?.();
      part.el.remove();
      this.shown.delete(i);
    }
    const before = made;
    const put = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ ms) => {
      for (let i = from, step = to < from ? -1 : 1; i !== to + step; i += step) {
        if (this.shown.has(i)) continue;
        if (made && made * this.cost > ms) return false;
        this.put(i);
        made++;
      }
      return true;
    };
    const seen = this.around(top, 0);
    const near = this.around(top, this.filling || made || this.lacks(this.around(top, MARGIN)) ? OVERSCAN : 0);
    // from what must stay in its place outwards: a height that is only guessed never lies between
    const still = held ? Math.min(Math.max(held.row, seen[0]), seen[1]) : seen[1];
    this.filling =
      this.count > 0 &&
      !(put(still, seen[1], SEEN_MS) && put(still, seen[0], SEEN_MS) && put(seen[1], near[1], AHEAD_MS) && put(seen[0], near[0], AHEAD_MS));
    for (const [i, part] of this.shown) {
      const look = this.owner.look(i);
      if (look === part.look) continue;
      part.look = look;
      part.el.className = look ? `u ${look}` : "u";
    }
    return made - before;
  }

  /** The first and the last row within so many px of what is seen. @param {number} top @param {number} px @returns {[number, number]} */
  around(top, px) {
    if (!this.count) return [0, -1];
    return [Math.max(this.at(Math.max(top - px, 0)), this.from), this.at(top + this.room + px)];
  }

  /** @param {[number, number]} range */
  lacks([first, last]) {
    for (let i = first; i <= last; i++) if (!this.shown.has(i)) return true;
    return false;
  }

  /** @param {number} i */
  put(i) {
    const part = Object.assign(this.owner.make(i), { top: -1, look: "?" });
    part.el.dataset.row = String(i);
    let next = /** @type {Element | null} */ (this.body.lastElementChild);
    let after = null;
    for (; next && Number(/** @type {HTMLElement} */ (next).dataset.row) > i; next = next.previousElementSibling) after = next;
    this.body.insertBefore(part.el, after);
    this.shown.set(i, part);
    this.resized.observe(part.el);
  }

  focusedRow() {
    const root = /** @type {Document | ShadowRoot} */ (this.scroller.getRootNode());
    const node = root.activeElement?.closest?.("[data-row]");
    return node && this.body.contains(node) ? Number(/** @type {HTMLElement} */ (node).dataset.row) : -1;
  }
}
