import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../../book/_static/play/history.js";
import { PRESETS } from "../../book/_static/play/presets.js";
import { Session } from "../../book/_static/play/session.js";
import { position, value } from "../../book/_static/play/sliders.js";
import { LIMITS, addPoint, create, flipLabel, heldErrors, movePoint, newHalf, oneLayer, played, removePoint,
  setNumber } from "../../book/_static/play/state.js";

const two = () => PRESETS["two-points"]();
const green = (state) => state.green.filter(Boolean).length;

test("every preset can be played, and two points give 1/4 and two colours 3/4", () => {
  for (const [name, preset] of Object.entries(PRESETS)) {
    const { rho, condition } = played(preset());
    assert.ok(rho > 0 && rho < 1 && condition < 1e11, name);
  }
  assert.ok(Math.abs(played(two()).rho - 1 / 4) < 1e-14);
  assert.ok(Math.abs(played(PRESETS["two-colours"]()).rho - 3 / 4) < 1e-14);
});

test("with noisy labels the flow lowers rho and gets more held-out labels wrong", () => {
  let state = PRESETS["noisy-labels"]();
  const start = { rho: played(state).rho, wrong: heldErrors(state, played(state)) };
  for (let i = 0; i < 150; i++) state = newHalf(oneLayer(state, played(state)));
  assert.ok(played(state).rho < start.rho / 2, `${start.rho} ${played(state).rho}`);
  assert.ok(heldErrors(state, played(state)) > start.wrong + 5,
    `${start.wrong} ${heldErrors(state, played(state))}`);
});

test("the flow lowers rho from every preset, averaged over halves", () => {
  const mean = (state) => {
    let sum = 0;
    let drawn = state;
    for (let i = 0; i < 20; i++) {
      drawn = newHalf(drawn);
      sum += played(drawn).rho / 20;
    }
    return sum;
  };
  for (const [name, preset] of Object.entries(PRESETS)) {
    let state = preset();
    for (let i = 0; i < 40; i++) state = newHalf(oneLayer(state, played(state)));
    assert.ok(mean(state) < mean(preset()), name);
  }
});

test("a move leaves the state it came from as it was", () => {
  const state = two();
  const copy = structuredClone(state);
  movePoint(state, 0, [1, 1]);
  addPoint(state, [0, 1], -1);
  removePoint(state, 0);
  flipLabel(state, 1);
  newHalf(state);
  oneLayer(state, played(state));
  assert.deepEqual(state, copy);
});

test("half of the points, rounded down, stay green as points come and go", () => {
  let state = two();
  for (let n = 3; n <= 9; n++) {
    state = addPoint(state, [n / 3, 1], n % 2 ? 1 : -1);
    assert.equal(green(state), Math.floor(n / 2));
  }
  for (let n = 8; n >= 1; n--) {
    state = removePoint(state, 0);
    assert.equal(green(state), Math.max(1, Math.floor(n / 2)));
  }
  state = removePoint(state, 0);
  assert.deepEqual([state.points, state.green], [[], []]);
});

test("an edit of the points ends the flow's layers, a new half or number does not", () => {
  const deep = oneLayer(two(), played(two()));
  assert.equal(deep.trace.length, 1);
  assert.equal(newHalf(deep).trace.length, 1);
  assert.equal(setNumber(deep, "gamma", 2).trace.length, 1);
  assert.equal(movePoint(deep, 0, [0, 0]).trace.length, 0);
  assert.equal(movePoint(deep, 0, [0, 0]).mesh.length, 0);
});

test("numbers and points are kept within their limits", () => {
  assert.equal(setNumber(two(), "gamma", 1e9).gamma, LIMITS.gamma[1]);
  assert.equal(setNumber(two(), "gamma", -1).gamma, LIMITS.gamma[0]);
  assert.deepEqual(movePoint(two(), 0, [1e9, -1e9]).points[0], [99, -99]);
});

test("the same seed draws the same halves", () => {
  const state = PRESETS["two-moons"]();
  assert.deepEqual(newHalf(newHalf(state)), newHalf(newHalf(state)));
  assert.notDeepEqual(newHalf(state).green, newHalf(newHalf(state)).green);
});

test("undo and redo walk the same states, and a drag is one step", () => {
  const history = new History(0, 3);
  for (const next of [1, 2, 3, 4]) history.push(next);
  history.replace(5);
  history.undo();
  assert.equal(history.present, 3);
  history.redo();
  assert.equal(history.present, 5);
  for (let i = 0; i < 9; i++) history.undo();
  assert.equal(history.present, 1);
  assert.ok(!history.canUndo && history.canRedo);
});

test("a session goes on after a game that can't be played", () => {
  const session = new Session(two(), () => {});
  session.choose(0);
  session.drag(session.state.points[1], true);
  assert.ok(session.outcome instanceof Error);
  assert.equal(session.game, null);
  assert.equal(session.layer(true), false);
  session.undo();
  assert.ok(Math.abs(session.game.rho - 1 / 4) < 1e-14);
});

test("the flow stops before a point leaves the plane", () => {
  const far = { ...PRESETS["two-colours"](), points: [[-98.99, 0], [-98, 0]], step: 0.5 };
  const session = new Session(far, () => {});
  assert.equal(session.layer(true), false);
  assert.deepEqual(session.state, far);
});

test("a session with no point or one has no game", () => {
  const session = new Session(create({}), () => {});
  assert.equal(session.outcome, null);
  session.add([0, 0], 1);
  assert.equal(session.outcome, null);
  session.remove();
  session.chooseNext(1);
  assert.deepEqual([session.state.points.length, session.chosen], [0, null]);
});

test("the plane holds 250 points and no more", () => {
  const session = new Session(create({}), () => {});
  for (let i = 0; i < 250; i++) assert.ok(session.add([i % 16, Math.floor(i / 16)], 1));
  assert.ok(!session.add([0, 0.5], 1));
  assert.equal(session.state.points.length, 250);
});

test("the plane that is shown grows with the points", () => {
  const session = new Session(two(), () => {});
  assert.equal(session.extent, 3);
  session.choose(0);
  session.drag([20, 0], true);
  assert.ok(session.extent > 20 && session.extent < 30);
});

test("a slider at the place of a number stands for that number", () => {
  for (const [name, number] of [["gamma", 0.5], ["gamma", 10], ["nugget", 0], ["nugget", 1e-3],
    ["nugget", 1], ["step", 0.02], ["step", 0.001]]) {
    assert.equal(value(name, position(name, number)), number);
  }
});
