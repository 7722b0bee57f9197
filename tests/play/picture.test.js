import assert from "node:assert/strict";
import { test } from "node:test";

import { Frame } from "../../book/_static/play/draw.js";
import { fields, zeroLines } from "../../book/_static/play/field.js";
import { kernel } from "../../book/_static/play/game.js";
import { PRESETS } from "../../book/_static/play/presets.js";
import { create, played } from "../../book/_static/play/state.js";
import { parseHex, shades } from "../../book/_static/play/theme.js";
import { brief, describe, describePoint, describeTrace, direction, fixed, trouble, verdict }
  from "../../book/_static/play/words.js";

const moons = PRESETS["two-moons"]();

test("the field is the interpolant at the middle of each cell, the top row first", () => {
  const { fine, coarse } = played(moons);
  const r = 12;
  const grids = fields(moons.points, [fine.weights, coarse.weights], moons.gamma, 3, r);
  [fine.weights, coarse.weights].forEach((weights, g) => {
    for (let row = 0; row < r; row++) {
      for (let column = 0; column < r; column++) {
        const x = [-3 + (column + 0.5) / 2, 3 - (row + 0.5) / 2];
        const value = moons.points.reduce((sum, z, j) =>
          sum + weights[j] * kernel(x, z, moons.gamma), 0);
        assert.ok(Math.abs(grids[g][row * r + column] - value) < 1e-5);
      }
    }
  });
});

test("the boundary lies where the values change sign", () => {
  const r = 10;
  const slope = Float32Array.from({ length: r * r }, (_, i) => (i % r) - 3.25);
  const lines = zeroLines(slope, r);
  assert.equal(lines.length, r - 1);
  for (const [x1, , x2] of lines) assert.ok(Math.abs(x1 - 3.75) < 1e-6 && x1 === x2);
});

test("pixels and plane are each other's inverse", () => {
  const frame = new Frame(400, 3);
  assert.deepEqual(frame.toPixels([-3, 3]), [0, 0]);
  const [x, y] = frame.toPlane(...frame.toPixels([1.2, -0.4]));
  assert.ok(Math.hypot(x - 1.2, y + 0.4) < 1e-12);
});

test("colours run from one label over the paper to the other", () => {
  const colours = shades(parseHex("#ff0000"), parseHex("#ffffff"), parseHex("#0000ff"));
  const [low, high] = [colours.slice(0, 3), colours.slice(-3)];
  assert.ok(low[0] > low[2] && high[2] > high[0]);
  assert.ok([...colours.slice(381, 387)].every((t) => t > 245));
});

test("the picture is told in words", () => {
  const state = PRESETS["two-points"]();
  assert.match(describe(state, played(state)), new RegExp("^2 points: 2 plus, 0 minus; 1 in the "
    + "green half. Rho is 0.250. The longest arrow is at point [12], pointing (left|right).$"));
  assert.equal(describePoint(state, 1), "Point 2 of 2, plus, hidden, at 0.75, 0.00.");
  assert.equal(describe(create({}), null), "The plane is empty.");
  assert.equal(describeTrace([], 0.2), "No layer yet.");
  assert.equal(describeTrace([0.5, 0.3], 0.2), "2 layers: rho began at 0.500, now 0.200.");
  assert.deepEqual([[1, 0], [0, 1], [-1, 0], [0, -1], [-1, -1]].map(direction),
    ["right", "up", "left", "down", "down and left"]);
});

test("numbers are written plainly", () => {
  assert.deepEqual([fixed(-0.0001), fixed(-0.25, 2)], ["0.000", "−0.25"]);
  assert.deepEqual([0, 1e-8, 0.05, 1.8].map(brief), ["0", "1e-8", "0.05", "1.8"]);
});

test("every rho has its verdict", () => {
  const said = [0, 0.1, 0.3, 0.5, 0.8, 1].map(verdict);
  assert.equal(new Set(said).size, said.length);
});

const said = (parts) => {
  const state = create(parts);
  let outcome = null;
  try {
    if (state.points.length > 1) outcome = played(state);
  } catch (error) {
    outcome = error;
  }
  return trouble(state, outcome);
};

test("no point, one point, coincident points and one label are told apart", () => {
  assert.match(said({}).text, /no points/);
  assert.match(said({ points: [[0, 0]], labels: [1] }).text, /One point can't be halved/);
  const twice = said({ points: [[1, 1], [0, 2], [1, 1]], labels: [1, -1, -1] });
  assert.match(twice.text, /Points 1 and 3 lie on top of each other/);
  assert.deepEqual(twice.cure, { label: "Set the nugget to 1e-8", nugget: 1e-8 });
  assert.match(said({ points: [[0, 0], [1, 0], [0, 1]], labels: [1, 1, 1] }).text, /one label/);
  assert.equal(said(PRESETS["two-moons"]()), null);
});

test("gamma at its limits is played or explained", () => {
  assert.equal(said({ ...moons, gamma: 0.05 }), null);
  const wide = said({ ...moons, gamma: 10, nugget: 0 });
  assert.match(wide.text, /too close for a γ of 10/);
  assert.ok(wide.cure.nugget > 0);
});
