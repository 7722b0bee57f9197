/**
 * The interpolation game in the plane: rho and its gradient, as `kflow.rho_and_gradient` has them.
 * Points are pairs [x, y]; labels are +1 or -1; the kernel is exp(-|a - b|^2 / gamma^2).
 */
import { cholesky, conditionBound, solve } from "./algebra.js";

/** @typedef {[number, number]} Point */
/** @typedef {{weights: Float64Array, energy: number}} Interpolant */
/**
 * @typedef {object} Game
 * @property {number} rho share of the energy lost with the hidden half, between 0 and 1
 * @property {Point[]} gradient of rho, one arrow a point
 * @property {Interpolant} fine the interpolant of all points
 * @property {Interpolant} coarse that of the green half; a weight of zero for each hidden point
 * @property {Float64Array} factor Cholesky factor of K + nugget I
 * @property {number} condition a lower bound of its condition number
 */

/** @param {Point} a @param {Point} b @param {number} gamma */
export function kernel(a, b, gamma) {
  return Math.exp(-((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / gamma ** 2);
}

/** K(z, z), n x n. @param {Point[]} z @param {number} gamma */
export function gram(z, gamma) {
  const n = z.length;
  const k = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    k[i * n + i] = 1;
    for (let j = 0; j < i; j++) k[i * n + j] = k[j * n + i] = kernel(z[i], z[j], gamma);
  }
  return k;
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The rows and columns `kept` of k + nugget I. */
function regularised(k, n, kept, nugget) {
  const m = kept.length;
  const part = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) part[i * m + j] = k[kept[i] * n + kept[j]];
    part[i * m + i] += nugget;
  }
  return part;
}

/**
 * Plays the game once.
 * @param {Point[]} z at least one point
 * @param {number[]} y their labels
 * @param {number[]} coarse indices of the points of the green half
 * @param {number} gamma
 * @param {number} nugget
 * @returns {Game}
 * @throws {NotPositiveDefinite}
 */
export function play(z, y, coarse, gamma, nugget) {
  const n = z.length;
  const k = gram(z, gamma);
  const factor = cholesky(regularised(k, n, z.map((_, i) => i), nugget), n);
  const fineWeights = solve(factor, y);
  const fineEnergy = dot(y, fineWeights);

  const seen = coarse.map((i) => y[i]);
  const kept = solve(cholesky(regularised(k, n, coarse, nugget), coarse.length), seen);
  const coarseEnergy = dot(seen, kept);
  const coarseWeights = new Float64Array(n);
  coarse.forEach((i, position) => { coarseWeights[i] = kept[position]; });

  const rho = 1 - coarseEnergy / fineEnergy;
  return {
    rho,
    gradient: gradient(z, k, rho, fineWeights, coarseWeights, fineEnergy, gamma),
    fine: { weights: fineWeights, energy: fineEnergy },
    coarse: { weights: coarseWeights, energy: coarseEnergy },
    factor,
    condition: conditionBound(factor, n),
  };
}

/**
 * grad_i rho = -(4 / gamma^2) sum_j W_ij K_ij (z_i - z_j),
 * W = (c c^T - (1 - rho) f f^T) / energy, with the weights c of the half and f of all points.
 * @returns {Point[]}
 */
function gradient(z, k, rho, f, c, energy, gamma) {
  const n = z.length;
  const scale = -4 / (gamma ** 2 * energy);
  return z.map((zi, i) => {
    let gx = 0;
    let gy = 0;
    for (let j = 0; j < n; j++) {
      const v = (c[i] * c[j] - (1 - rho) * f[i] * f[j]) * k[i * n + j];
      gx += v * (zi[0] - z[j][0]);
      gy += v * (zi[1] - z[j][1]);
    }
    return [scale * gx, scale * gy];
  });
}

/**
 * The two points that are closest, and how far apart they are.
 * @param {Point[]} z at least two points
 */
export function closestPair(z) {
  let best = { i: 0, j: 1, distance: Infinity };
  for (let i = 0; i < z.length; i++) {
    for (let j = i + 1; j < z.length; j++) {
      const distance = Math.hypot(z[i][0] - z[j][0], z[i][1] - z[j][1]);
      if (distance < best.distance) best = { i, j, distance };
    }
  }
  return best;
}
