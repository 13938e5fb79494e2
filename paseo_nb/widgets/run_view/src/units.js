/** Numbers as people read them: the same words as `widgets/render/units.py`. */

/** @param {number} seconds */
export function duration(seconds) {
  seconds = Math.max(seconds, 0);
  if (seconds < 0.095) return `${seconds.toFixed(2)} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(/\.0$/, "")} s`;
  const whole = Math.round(seconds);
  for (const [size, unit, part, small] of /** @type {[number, string, number, string][]} */ ([
    [86400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ])) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / part);
    return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${small}` : "");
  }
  return `${whole} s`;
}

/** `0:41`, `12:03`, `1:04:00`. @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** @param {number} count */
export function tokens(count) {
  if (count < 1000) return String(Math.round(count));
  const short = (/** @type {number} */ n) => (n < 99.95 ? n.toFixed(1) : n.toFixed(0)).replace(/\.0$/, "");
  return count < 999_500 ? short(count / 1000) + "k" : (count / 1e6).toFixed(1).replace(/\.0$/, "") + "M";
}

/** @param {number} usd */
export function money(usd) {
  const sign = usd < 0 ? "−" : "";
  const amount = Math.abs(usd);
  if (amount === 0 || amount >= 0.00995)
    return sign + "$" + amount.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return amount < 0.0001 ? "<$0.0001" : `${sign}$${amount.toFixed(4).replace(/0+$/, "")}`;
}

/** @param {number} n */
export const count = (n) => n.toLocaleString("en-US");

/** @param {number} n @param {string} noun */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
