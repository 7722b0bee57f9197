/** What the page says: the picture in words, and what is wrong and how to mend it. */
import { NotPositiveDefinite } from "./algebra.js";
import { closestPair } from "./game.js";
import { LIMITS } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./game.js").Game} Game */

/** @param {number} value @param {number} digits */
export function fixed(value, digits = 3) {
  return value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
}

/** A number that may be tiny, for a label. @param {number} value */
export function brief(value) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 1e-3) return String(Number(value.toPrecision(3)));
  const [mantissa, exponent] = value.toExponential(0).split("e");
  return `${mantissa}e${exponent}`;
}

/** @param {number} label */
export const signOf = (label) => (label > 0 ? "plus" : "minus");

/** One point. @param {State} state @param {number} i */
export function describePoint(state, i) {
  const [x, y] = state.points[i];
  const half = state.green[i] ? "in the green half" : "hidden";
  return `Point ${i + 1} of ${state.points.length}, ${signOf(state.labels[i])}, ${half}, `
    + `at ${fixed(x, 2)}, ${fixed(y, 2)}.`;
}

/** The whole picture. @param {State} state @param {Game | null} game */
export function describe(state, game) {
  const n = state.points.length;
  if (n === 0) return "The plane is empty.";
  const plus = state.labels.filter((y) => y > 0).length;
  const green = state.green.filter(Boolean).length;
  const counts = `${n} point${n > 1 ? "s" : ""}: ${plus} plus, ${n - plus} minus; `
    + `${green} in the green half.`;
  if (!game) return counts;
  const arrows = game.gradient.map(([gx, gy]) => Math.hypot(gx, gy));
  const longest = arrows.indexOf(Math.max(...arrows));
  const pull = arrows[longest] > 0
    ? ` The longest arrow is at point ${longest + 1}, pointing ${
      direction(game.gradient[longest].map((g) => -g))}.`
    : " No arrow has any length.";
  return `${counts} Rho is ${fixed(game.rho)}.${pull}`;
}

/** A compass word for an arrow. @param {number[]} arrow */
export function direction([dx, dy]) {
  const names = ["right", "up and right", "up", "up and left", "left", "down and left", "down",
    "down and right"];
  return names[(Math.round((Math.atan2(dy, dx) * 4) / Math.PI) + 8) % 8];
}

/** What rho means for Player II. @param {number} rho */
export function verdict(rho) {
  if (rho < 0.02) return "The green half predicts the hidden labels.";
  if (rho < 0.15) return "The green half predicts most of the hidden labels well.";
  if (rho < 0.4) return "Less is lost than on average under the kernel’s own process.";
  if (rho < 0.6) return "About half of the energy is lost with the hidden labels.";
  if (rho < 0.9) return "Most of the energy is lost with the hidden labels.";
  return "Nearly all of the energy is lost with the hidden labels.";
}

/** @param {number[]} trace rho before each layer @param {number | null} now */
export function describeTrace(trace, now) {
  if (trace.length === 0) return "No layer yet.";
  const s = trace.length > 1 ? "s" : "";
  const end = now === null ? "" : `, now ${fixed(now)}`;
  return `${trace.length} layer${s}: rho began at ${fixed(trace[0])}${end}.`;
}

/**
 * What keeps the game from being played, or deserves a warning.
 * @param {State} state
 * @param {Game | Error | null} outcome of playing it
 * @returns {{text: string, cure?: {label: string, nugget: number}} | null}
 */
export function trouble(state, outcome) {
  const n = state.points.length;
  if (n === 0) return { text: "There are no points. Add two, or start from a preset." };
  if (n === 1) return { text: "One point can't be halved. Add a second one." };
  if (outcome instanceof NotPositiveDefinite) return singular(state);
  if (outcome instanceof Error || !Number.isFinite(outcome.rho)) {
    return { text: "The numbers of this game went out of bounds. Undo, or start from a preset." };
  }
  if (outcome.condition > 1e11) {
    return {
      text: `${closeness(state)}, so that rounding shows in ρ. Move one, lower γ, or add a nugget.`,
      cure: cure(state),
    };
  }
  if (new Set(state.labels).size === 1 && n > 2) {
    return { text: "All points have one label: there is nothing to tell apart, only a height." };
  }
  return null;
}

function cure(state) {
  const nugget = Math.min(LIMITS.nugget[1], Math.max(1e-8, state.nugget * 10));
  return { label: `Set the nugget to ${brief(nugget)}`, nugget };
}

function closeness(state) {
  const { i, j, distance } = closestPair(state.points);
  return distance < 1e-6 * state.gamma
    ? `Points ${i + 1} and ${j + 1} lie on top of each other`
    : `Points ${i + 1} and ${j + 1} are ${brief(distance)} apart, too close for a γ of `
      + brief(state.gamma);
}

function singular(state) {
  return {
    text: `${closeness(state)}, so K can't be inverted. Move one, lower γ, or add a nugget.`,
    cure: cure(state),
  };
}
