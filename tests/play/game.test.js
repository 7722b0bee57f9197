import assert from "node:assert/strict";
import { test } from "node:test";

import { NotPositiveDefinite, cholesky, solve } from "../../book/_static/play/algebra.js";
import { layer, maxDisplacement } from "../../book/_static/play/flow.js";
import { closestPair, play } from "../../book/_static/play/game.js";
import { drawHalf, generator } from "../../book/_static/play/random.js";

const half = [[0, 0], [Math.sqrt(Math.log(2)), 0]];

function scattered(n, seed) {
  const random = generator(seed);
  return Array.from({ length: n }, () => [4 * random() - 2, 4 * random() - 2]);
}

const signs = (n) => Array.from({ length: n }, (_, i) => (i % 3 ? 1 : -1));

test("rho of two points that agree is a quarter by hand", () => {
  const game = play(half, [1, 1], [0], 1, 0);
  assert.ok(Math.abs(game.rho - 1 / 4) < 1e-15);
  assert.ok(Math.abs(game.fine.energy - 4 / 3) < 1e-15);
});

test("rho of two points that disagree is three quarters by hand", () => {
  assert.ok(Math.abs(play(half, [1, -1], [0], 1, 0).rho - 3 / 4) < 1e-15);
});

test("rho stays between 0 and 1 and does not change when all labels flip", () => {
  for (let seed = 1; seed < 30; seed++) {
    const z = scattered(12, seed);
    const y = signs(12);
    const rho = (labels) => play(z, labels, [0, 2, 4, 6, 8, 10], 0.7, 1e-6).rho;
    assert.ok(rho(y) >= 0 && rho(y) <= 1);
    assert.ok(Math.abs(rho(y) - rho(y.map((t) => -t))) < 1e-12);
  }
});

test("the gradient is the slope of rho", () => {
  const z = scattered(6, 3);
  const y = signs(6);
  const h = 1e-6;
  for (const nugget of [0, 0.01]) {
    const rho = (points) => play(points, y, [0, 3, 5], 0.9, nugget).rho;
    const { gradient } = play(z, y, [0, 3, 5], 0.9, nugget);
    z.forEach((point, i) => [0, 1].forEach((axis) => {
      const moved = (by) => z.map((p, j) => p.map((t, a) => (i === j && a === axis ? t + by : t)));
      const slope = (rho(moved(h)) - rho(moved(-h))) / (2 * h);
      assert.ok(Math.abs(slope - gradient[i][axis]) < 1e-7 * Math.max(1, Math.abs(slope)));
    }));
  }
});

test("the interpolant takes the labels at the points", () => {
  const z = scattered(8, 5);
  const y = signs(8);
  const { fine } = play(z, y, [0, 1, 2, 3], 0.8, 0);
  z.forEach(([a, b], i) => {
    const value = z.reduce((sum, [c, d], j) =>
      sum + fine.weights[j] * Math.exp(-((a - c) ** 2 + (b - d) ** 2) / 0.64), 0);
    assert.ok(Math.abs(value - y[i]) < 1e-9);
  });
});

test("a small layer lowers rho, and without a nugget the fastest point moves by the step", () => {
  const z = scattered(10, 8);
  const y = signs(10);
  const coarse = [1, 3, 5, 7, 9];
  const before = play(z, y, coarse, 0.8, 0);
  const moved = z.map(layer(z, before, 0.8, 1e-3));
  assert.ok(play(moved, y, coarse, 0.8, 0).rho < before.rho);
  const far = moved.map(([a, b], i) => Math.hypot(a - z[i][0], b - z[i][1]));
  assert.ok(Math.abs(Math.max(...far) - 1e-3) < 1e-9);
});

test("nothing moves where nothing pulls", () => {
  assert.equal(maxDisplacement([[0, 0], [0, 0]], 0.1), 0);
  const z = [[0, 0], [50, 0]];
  assert.deepEqual(z.map(layer(z, play(z, [1, 1], [0], 1, 0), 1, 0.1)), z);
});

test("coincident points are not positive definite, and a nugget mends it", () => {
  const z = [[0, 0], [1, 1], [0, 0]];
  assert.throws(() => play(z, [1, 1, -1], [0], 1, 0), NotPositiveDefinite);
  assert.ok(Number.isFinite(play(z, [1, 1, -1], [0], 1, 1e-8).rho));
  assert.deepEqual(closestPair(z), { i: 0, j: 2, distance: 0 });
});

test("a factor solves its system", () => {
  const a = Float64Array.from([4, 2, 0, 2, 5, 1, 0, 1, 3]);
  for (const t of solve(cholesky(a, 3), [6, 8, 4])) assert.ok(Math.abs(t - 1) < 1e-14);
});

test("a half has half of the points, every point as often as any other", () => {
  const random = generator(2);
  const counts = new Array(5).fill(0);
  for (let i = 0; i < 5000; i++) {
    const green = drawHalf(5, random);
    assert.equal(green.filter(Boolean).length, 2);
    green.forEach((seen, j) => { counts[j] += seen; });
  }
  for (const count of counts) assert.ok(Math.abs(count - 2000) < 200);
});
