/** What every canvas of the book shares: sharp pixels, and the site's theme. */

/**
 * Sizes a canvas to its box and the screen's pixels, and clears it.
 * @param {HTMLCanvasElement} canvas
 * @returns {{context: CanvasRenderingContext2D, width: number, height: number}} in CSS pixels
 */
export function fit(canvas) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const { clientWidth: width, clientHeight: height } = canvas;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Calls back when the site turns light or dark. @param {() => void} changed */
export function onThemeChange(changed) {
  const watched = { attributes: true, attributeFilter: ["data-theme", "data-mode"] };
  new MutationObserver(changed).observe(document.documentElement, watched);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
