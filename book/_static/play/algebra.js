/**
 * Linear algebra of the game: Cholesky for a small symmetric positive definite matrix.
 * Matrices are Float64Array, row after row.
 */

/** A Gram matrix that can't be factored; `pivot` is the row at which that shows. */
export class NotPositiveDefinite extends Error {
  /** @param {number} pivot */
  constructor(pivot) {
    super(`not positive definite at row ${pivot}`);
    this.name = "NotPositiveDefinite";
    this.pivot = pivot;
  }
}

/**
 * The lower triangular L with L L^T = a.
 * A pivot that is only rounding (below n times the machine's epsilon) counts as zero.
 * @param {Float64Array} a n x n, diagonal of order 1
 * @param {number} n
 * @returns {Float64Array} n x n, zero above the diagonal
 */
export function cholesky(a, n) {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
      if (j < i) l[i * n + j] = sum / l[j * n + j];
      else if (sum > n * Number.EPSILON) l[i * n + i] = Math.sqrt(sum);
      else throw new NotPositiveDefinite(i);
    }
  }
  return l;
}

/**
 * Solves L L^T x = b.
 * @param {Float64Array} l the factor, n x n
 * @param {ArrayLike<number>} b n numbers
 * @returns {Float64Array} x
 */
export function solve(l, b) {
  const n = b.length;
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
    x[i] /= l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= l[k * n + i] * x[k];
    x[i] /= l[i * n + i];
  }
  return x;
}

/**
 * A lower bound of the condition number, read off the factor.
 * @param {Float64Array} l
 * @param {number} n
 */
export function conditionBound(l, n) {
  let low = Infinity;
  let high = 0;
  for (let i = 0; i < n; i++) {
    low = Math.min(low, l[i * n + i]);
    high = Math.max(high, l[i * n + i]);
  }
  return (high / low) ** 2;
}
