/** Sliders run from 0 to 1 and stand for numbers over several powers of ten. */
import { LIMITS, setNumber } from "./state.js";

/** The least nugget above zero that the slider can set. */
const LEAST_NUGGET = 1e-10;
/** The slider's first part, where the nugget is exactly zero. */
const ZERO = 0.05;

/** @param {"gamma"|"nugget"|"step"} name */
function range(name) {
  const [least, most] = LIMITS[name];
  return name === "nugget" ? [LEAST_NUGGET, most] : [least, most];
}

/**
 * Where the slider stands for a number.
 * @param {"gamma"|"nugget"|"step"} name
 * @param {number} value
 */
export function position(name, value) {
  const [least, most] = range(name);
  if (name === "nugget" && value < least) return 0;
  const part = Math.log(value / least) / Math.log(most / least);
  return name === "nugget" ? ZERO + (1 - ZERO) * part : part;
}

/**
 * The number a slider stands for, to three digits.
 * @param {"gamma"|"nugget"|"step"} name
 * @param {number} at from 0 to 1
 */
export function value(name, at) {
  const [least, most] = range(name);
  if (name === "nugget" && at < ZERO) return 0;
  const part = name === "nugget" ? (at - ZERO) / (1 - ZERO) : at;
  return Number((least * (most / least) ** part).toPrecision(name === "nugget" ? 1 : 3));
}

/**
 * Lets a slider set a number of the game: one step of the history for each grip.
 * @param {HTMLInputElement} slider
 * @param {"gamma"|"nugget"|"step"} name
 * @param {import("./session.js").Session} session
 */
export function connect(slider, name, session) {
  let gripped = false;
  slider.addEventListener("input", () => {
    const next = setNumber(session.state, name, value(name, Number(slider.value)));
    if (gripped) session.replace(next);
    else session.push(next);
    gripped = true;
  });
  slider.addEventListener("change", () => { gripped = false; });
}
