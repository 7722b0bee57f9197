/** The interpolants as values on a grid. */

/** @typedef {import("./game.js").Point} Point */

/** What a point adds to a line of the picture is left out where it is below this. */
const UNSEEN = 1e-7;

/** exp(-(t - z)^2 / gamma^2) for every point and every grid line t, n x r. */
function oneAxis(z, axis, gamma, extent, r) {
  const n = z.length;
  const out = new Float64Array(n * r);
  for (let j = 0; j < n; j++) {
    for (let g = 0; g < r; g++) {
      const t = -extent + (2 * extent * (g + 0.5)) / r;
      out[j * r + g] = Math.exp(-(((t - z[j][axis]) / gamma) ** 2));
    }
  }
  return out;
}

/**
 * Values of sum_j weights_j K(., z_j) on r x r cells of [-extent, extent]^2, the top row first.
 * The Gaussian is a product over the two axes, so that no exponential is needed within the plane.
 * @param {Point[]} z
 * @param {Float64Array[]} weightings several weights of the same points
 * @param {number} gamma
 * @param {number} extent
 * @param {number} r cells along a side
 * @returns {Float32Array[]} one grid for each of the weights
 */
export function fields(z, weightings, gamma, extent, r) {
  const n = z.length;
  const kx = oneAxis(z, 0, gamma, extent, r);
  const ky = oneAxis(z, 1, gamma, extent, r);
  return weightings.map((weights) => {
    const values = new Float32Array(r * r);
    const line = new Float64Array(r);
    for (let row = 0; row < r; row++) {
      line.fill(0);
      for (let j = 0; j < n; j++) {
        const scaled = weights[j] * ky[j * r + r - 1 - row];
        if (Math.abs(scaled) < UNSEEN) continue;
        for (let column = 0; column < r; column++) line[column] += scaled * kx[j * r + column];
      }
      values.set(line, row * r);
    }
    return values;
  });
}

/**
 * Where the values change sign: line segments in cell units (marching squares between centres).
 * @param {Float32Array} values r x r
 * @param {number} r
 * @returns {number[][]} [x1, y1, x2, y2]
 */
export function zeroLines(values, r) {
  const segments = [];
  for (let row = 0; row + 1 < r; row++) {
    for (let column = 0; column + 1 < r; column++) {
      const at = row * r + column;
      const [a, b, c, d] = [values[at], values[at + 1], values[at + r + 1], values[at + r]];
      const cuts = [];
      const cut = (u, v, x, y, dx, dy) => {
        if (u < 0 !== v < 0) cuts.push([x + (dx * u) / (u - v), y + (dy * u) / (u - v)]);
      };
      cut(a, b, column, row, 1, 0);
      cut(b, c, column + 1, row, 0, 1);
      cut(d, c, column, row + 1, 1, 0);
      cut(a, d, column, row, 0, 1);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        segments.push([...cuts[i], ...cuts[i + 1]].map((t) => t + 0.5));
      }
    }
  }
  return segments;
}
