/** One layer of the flow: every point of the plane follows the points of the game downhill. */
import { solve } from "./algebra.js";
import { kernel } from "./game.js";

/** @typedef {import("./game.js").Point} Point */

/** Beyond this many bandwidths the kernel is below 1e-17, and a point is left out. */
const REACH = 6.3;

/**
 * The rule `kflow.MaxDisplacement`: the fastest point moves by `delta`.
 * @param {Point[]} gradient
 * @param {number} delta
 * @returns {number} eps, zero where nothing pulls
 */
export function maxDisplacement(gradient, delta) {
  const fastest = Math.max(0, ...gradient.map(([gx, gy]) => Math.hypot(gx, gy)));
  return fastest > 0 ? delta / fastest : 0;
}

/**
 * The smooth motion of the whole plane that carries the points down the gradient of rho:
 * x -> x + eps K(x, z) c with c = -(K + nugget I)^-1 grad rho.
 * @param {Point[]} z the points of the game
 * @param {import("./game.js").Game} game played on them
 * @param {number} gamma
 * @param {number} delta how far the fastest point goes
 * @returns {(x: Point) => Point}
 */
export function layer(z, game, gamma, delta) {
  const eps = maxDisplacement(game.gradient, delta);
  const reach = REACH * gamma;
  const cx = solve(game.factor, game.gradient.map((g) => -g[0]));
  const cy = solve(game.factor, game.gradient.map((g) => -g[1]));
  return (x) => {
    let dx = 0;
    let dy = 0;
    for (let i = 0; i < z.length; i++) {
      if (Math.abs(x[0] - z[i][0]) > reach || Math.abs(x[1] - z[i][1]) > reach) continue;
      const k = kernel(x, z[i], gamma);
      dx += k * cx[i];
      dy += k * cy[i];
    }
    return [x[0] + eps * dx, x[1] + eps * dy];
  };
}
