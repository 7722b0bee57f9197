/** Randomness with a seed, so that a shared game replays the same halves. */

/**
 * The generator mulberry32.
 * @param {number} seed
 * @returns {() => number} uniform in [0, 1)
 */
export function generator(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Half of n points (rounded down, at least one), uniform without replacement.
 * @param {number} n
 * @param {() => number} random
 * @returns {boolean[]} true for the points that Player II sees
 */
export function drawHalf(n, random) {
  const order = Array.from({ length: n }, (_, i) => i);
  const size = Math.max(1, Math.floor(n / 2));
  const green = new Array(n).fill(false);
  for (let i = 0; i < Math.min(size, n); i++) {
    const j = i + Math.floor(random() * (n - i));
    [order[i], order[j]] = [order[j], order[i]];
    green[order[i]] = true;
  }
  return green;
}

/** A standard normal number (Box and Muller). @param {() => number} random */
export function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
