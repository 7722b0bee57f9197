/** Colours of the canvas, read from the style sheet so that they follow the site's theme. */

/** @typedef {[number, number, number]} Rgb */

const NAMES = ["paper", "ink", "muted", "plus", "minus", "green", "line"];

/** @param {string} text a colour as #rrggbb @returns {Rgb} */
export function parseHex(text) {
  const digits = text.trim().replace("#", "");
  return [0, 2, 4].map((i) => parseInt(digits.slice(i, i + 2), 16));
}

/** @param {Element} element @returns {Record<string, string> & {shades: Uint8ClampedArray}} */
export function readTheme(element) {
  const style = getComputedStyle(element);
  const theme = {};
  for (const name of NAMES) theme[name] = style.getPropertyValue(`--play-${name}`).trim();
  theme.shades = shades(parseHex(theme.minus), parseHex(theme.paper), parseHex(theme.plus));
  return theme;
}

/**
 * 256 colours from one label over the paper to the other.
 * @param {Rgb} low @param {Rgb} middle @param {Rgb} high
 * @returns {Uint8ClampedArray} r, g, b of each
 */
export function shades(low, middle, high) {
  const out = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const t = (i - 127.5) / 127.5;
    const weight = 0.72 * Math.abs(t) ** 0.85;
    const end = t < 0 ? low : high;
    for (let c = 0; c < 3; c++) out[i * 3 + c] = middle[c] + weight * (end[c] - middle[c]);
  }
  return out;
}
