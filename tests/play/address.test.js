import assert from "node:assert/strict";
import { test } from "node:test";

import { read, write } from "../../book/_static/play/address.js";
import { PRESETS } from "../../book/_static/play/presets.js";
import { played } from "../../book/_static/play/state.js";

test("a game read from its own address is the same game", () => {
  for (const [name, preset] of Object.entries(PRESETS)) {
    const state = preset();
    const { state: again, problems } = read(write(state));
    assert.deepEqual(problems, []);
    assert.deepEqual([again.labels, again.green, again.gamma, again.nugget, again.step, again.seed],
      [state.labels, state.green, state.gamma, state.nugget, state.step, state.seed]);
    assert.ok(Math.abs(played(again).rho - played(state).rho) < 1e-3, name);
    assert.equal(write(again), write(state));
    assert.deepEqual(again.heldLabels, state.heldLabels);
  }
});

test("an empty plane has an address too", () => {
  const { state, problems } = read(write({ ...PRESETS["two-points"](), points: [], labels: [] }));
  assert.deepEqual([state.points, problems], [[], []]);
});

test("a preset has an address, and numbers in it may differ", () => {
  const { state, problems } = read("preset=two-moons&gamma=0.5");
  assert.deepEqual(problems, []);
  assert.equal(state.gamma, 0.5);
  assert.deepEqual(state.points, PRESETS["two-moons"]().points);
});

test("the anchor of a heading is not a game", () => {
  assert.equal(read(""), null);
  assert.equal(read("five-things-to-try"), null);
});

const bad = {
  "gamma=abc": /gamma “abc” is not a number from 0.05 to 10/,
  "gamma=": /gamma/,
  "gamma=0": /gamma “0”/,
  "gamma=1e400": /gamma/,
  "nugget=-1": /nugget “-1” is not a number from 0 to 1/,
  "step=NaN": /step/,
  "seed=-3": /seed “-3”/,
  "seed=1.5": /seed/,
  "preset=three-moons": /no preset “three-moons”/,
  "gama=1": /“gama” means nothing/,
  "constructor=1": /“constructor” means nothing/,
  "preset=constructor": /no preset/,
  "points=0,0,P;1,x,p;1,1,m": /Point 2/,
  "points=0,0,P;1,1": /Point 2/,
  "points=0,0,P;1,1,Z;2,2,m": /Point 2/,
  "points=0,0,P;1,1,p,9": /Point 2/,
  "points=0,0,P;1e9,1,p": /Point 2/,
  "points=,,P": /Point 1/,
  "points=;;;": /Point 4/,
  "points=0,0,p;1,1,m": /hides none or all/,
  "points=0,0,P;1,1,M": /hides none or all/,
  "points=%E0%A4%A;1,1,M": /Point 1/,
};
for (const [fragment, message] of Object.entries(bad)) {
  test(`“${fragment}” is answered in words and leaves a game`, () => {
    const { state, problems } = read(fragment);
    assert.match(problems.join("\n"), message);
    const n = state.points.length;
    assert.deepEqual([state.labels.length, state.green.length], [n, n]);
    if (n > 1) assert.ok(played(state).rho >= 0);
  });
}

test("more points than the plane holds are cut off, and that is said", () => {
  const points = Array.from({ length: 300 }, (_, i) => `${i % 20},${Math.floor(i / 20)},P`);
  const { state, problems } = read(`points=${points.join(";")}`);
  assert.equal(state.points.length, 250);
  assert.match(problems.join("\n"), /first 250 of 300/);
});
