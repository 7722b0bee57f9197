/** The state of the game is a value: every move returns a new one, so that undo is a list. */
import { kernel, play } from "./game.js";
import { layer } from "./flow.js";
import { drawHalf, generator } from "./random.js";

/**
 * @typedef {object} State
 * @property {import("./game.js").Point[]} points
 * @property {number[]} labels +1 or -1
 * @property {boolean[]} green true for the half that Player II sees
 * @property {number} gamma bandwidth of the kernel, in units of the plane
 * @property {number} nugget
 * @property {number} step how far a layer moves the fastest point, in units of the plane
 * @property {number} seed of the next half
 * @property {number[]} trace rho before each layer since the last edit
 * @property {import("./game.js").Point[][]} mesh lines drawn in the plane, carried by those layers
 * @property {import("./game.js").Point[]} held points that are carried and take part in no game
 * @property {number[]} heldLabels their labels, which no game sees
 */

/** What the page accepts: [least, most] of each number, and the most points. */
export const LIMITS = {
  gamma: [0.05, 10],
  nugget: [0, 1],
  step: [0.001, 0.5],
  coordinate: [-99, 99],
  points: 250,
};

/** Half the width of the plane that is shown before anything has left it. */
export const EXTENT = 3;

/** @param {number} value @param {[number, number]} limits */
export function clamp(value, [least, most]) {
  return Math.min(most, Math.max(least, value));
}

/**
 * @param {Partial<State>} parts
 * @returns {State}
 */
export function create(parts) {
  const state = {
    points: [], labels: [], gamma: 1, nugget: 0, step: 0.05, seed: 1, trace: [], mesh: [],
    held: [], heldLabels: [], ...parts,
  };
  return state.green ? state : newHalf({ ...state, green: [] });
}

/** An edit ends the flow: its layers and the lines it carried belong to the points before. */
function edited(state, changes) {
  return { ...state, trace: [], mesh: [], ...changes };
}

function replaced(list, i, value) {
  return list.map((old, j) => (j === i ? value : old));
}

/** @param {State} state @returns {State} with another half drawn */
export function newHalf(state) {
  const green = drawHalf(state.points.length, generator(state.seed));
  return { ...state, green, seed: (state.seed + 1) >>> 0 };
}

/** Keeps floor(n / 2) points green, at least one, changing as few as possible. */
function balanced(state) {
  const green = [...state.green];
  const wanted = Math.min(green.length, Math.max(1, Math.floor(green.length / 2)));
  const count = () => green.filter(Boolean).length;
  while (count() > wanted) green[green.lastIndexOf(true)] = false;
  while (count() < wanted) green[green.lastIndexOf(false)] = true;
  return { ...state, green };
}

/** @param {State} state @param {number} i @param {import("./game.js").Point} to @returns {State} */
export function movePoint(state, i, to) {
  const point = to.map((t) => clamp(t, LIMITS.coordinate));
  return edited(state, { points: replaced(state.points, i, point) });
}

/**
 * @param {State} state
 * @param {import("./game.js").Point} at
 * @param {number} label
 * @returns {State}
 */
export function addPoint(state, at, label) {
  return balanced(edited(state, {
    points: [...state.points, at],
    labels: [...state.labels, label],
    green: [...state.green, false],
  }));
}

/** @param {State} state @param {number} i @returns {State} */
export function removePoint(state, i) {
  const without = (list) => list.filter((_, j) => j !== i);
  return balanced(edited(state, {
    points: without(state.points), labels: without(state.labels), green: without(state.green),
  }));
}

/** @param {State} state @param {number} i @returns {State} */
export function flipLabel(state, i) {
  return edited(state, { labels: replaced(state.labels, i, -state.labels[i]) });
}

/**
 * @param {State} state
 * @param {"gamma"|"nugget"|"step"} name
 * @param {number} value
 * @returns {State}
 */
export function setNumber(state, name, value) {
  return { ...state, [name]: clamp(value, LIMITS[name]) };
}

/** Straight lines over the plane, for the flow to bend. */
function ruledPlane(extent = EXTENT, lines = 13, samples = 49) {
  const at = (i, n) => -extent + (2 * extent * i) / (n - 1);
  const ruled = (point) => Array.from({ length: lines }, (_, i) =>
    Array.from({ length: samples }, (_, j) => point(at(i, lines), at(j, samples))));
  return [...ruled((s, t) => [s, t]), ...ruled((s, t) => [t, s])];
}

/** @param {State} state @returns {import("./game.js").Game} @throws {NotPositiveDefinite} */
export function played(state) {
  const coarse = state.green.flatMap((seen, i) => (seen ? [i] : []));
  return play(state.points, state.labels, coarse, state.gamma, state.nugget);
}

/**
 * One layer of the flow; the half stays as it is.
 * @param {State} state
 * @param {import("./game.js").Game} game played on this state
 * @returns {State}
 */
export function oneLayer(state, game) {
  const move = layer(state.points, game, state.gamma, state.step);
  const mesh = state.mesh.length ? state.mesh : ruledPlane();
  return {
    ...state,
    points: state.points.map(move),
    mesh: mesh.map((line) => line.map(move)),
    held: state.held.map(move),
    trace: [...state.trace, game.rho],
  };
}

/**
 * How many held-out labels the interpolant of all points gets wrong.
 * @param {State} state
 * @param {import("./game.js").Game} game played on this state
 */
export function heldErrors(state, game) {
  const value = (x) => state.points.reduce(
    (sum, z, i) => sum + game.fine.weights[i] * kernel(x, z, state.gamma), 0);
  return state.held.filter((x, i) => value(x) * state.heldLabels[i] <= 0).length;
}
