// The game of the book against kflow, on games that tests/play/vectors.py writes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { layer } from "../../book/_static/play/flow.js";
import { kernel, play } from "../../book/_static/play/game.js";

const TOLERANCE = 1e-10;
const games = JSON.parse(readFileSync(process.env.KFLOW_VECTORS, "utf8"));

/** Largest difference, in units of the largest expected number or of one. */
function difference(seen, expected) {
  const [a, b] = [[...seen].flat(), expected.flat()];
  assert.equal(a.length, b.length);
  const size = Math.max(1, ...b.map(Math.abs));
  return Math.max(...a.map((t, i) => Math.abs(t - b[i]))) / size;
}

const near = (seen, expected) => assert.ok(difference(seen, expected) < TOLERANCE);

test("there are games to compare with, all well conditioned", () => {
  assert.ok(games.length >= 6);
  for (const game of games) assert.ok(game.condition < 1e4);
});

for (const [i, given] of games.entries()) {
  const { points, labels, coarse, gamma, nugget, delta } = given;
  const name = `game ${i}: ${points.length} points, gamma ${gamma}, nugget ${nugget}`;

  test(`${name}: rho, its gradient and the energies are those of kflow`, () => {
    const game = play(points, labels, coarse, gamma, nugget);
    near([game.rho], [given.rho]);
    near(game.gradient, given.gradient);
    near([game.fine.energy, game.coarse.energy], given.energies);
  });

  test(`${name}: both interpolants take kflow's values elsewhere`, () => {
    const game = play(points, labels, coarse, gamma, nugget);
    const value = (weights) => given.elsewhere.map((x) =>
      points.reduce((sum, z, j) => sum + weights[j] * kernel(x, z, gamma), 0));
    near(value(game.fine.weights), given.fine);
    near(value(game.coarse.weights), given.half);
  });

  test(`${name}: layers carry the points and the plane as kflow's do`, () => {
    let z = points;
    let carried = given.elsewhere;
    const rhos = given.halves.map((kept) => {
      const game = play(z, labels, kept, gamma, nugget);
      const move = layer(z, game, gamma, delta);
      [z, carried] = [z.map(move), carried.map(move)];
      return game.rho;
    });
    near(rhos, given.rhos);
    near(z, given.moved);
    near(carried, given.carried);
  });
}
