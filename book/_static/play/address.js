/** A game as the fragment of a web address, and back; what can't be read is said, never guessed. */
import { PRESETS } from "./presets.js";
import { LIMITS, create } from "./state.js";

/** @typedef {import("./state.js").State} State */

const KEYS = ["gamma", "nugget", "step", "seed", "points", "held", "preset"];
const LETTERS = { P: [1, true], p: [1, false], M: [-1, true], m: [-1, false] };

const rounded = (number) => String(Number(number.toFixed(6)));

/**
 * For instance `gamma=1&nugget=0&step=0.05&seed=2&points=0,0,P;0.8,0,m`: P and M are plus and minus
 * in the green half, p and m are hidden. `held` are points that take part in no game.
 * @param {State} state
 */
export function write(state) {
  const points = state.points.map(([x, y], i) => {
    const letter = state.labels[i] > 0 ? "p" : "m";
    return `${rounded(x)},${rounded(y)},${state.green[i] ? letter.toUpperCase() : letter}`;
  });
  const { gamma, nugget, step, seed } = state;
  const held = state.held.map(([x, y], i) =>
    `${rounded(x)},${rounded(y)},${state.heldLabels[i] > 0 ? "p" : "m"}`);
  return `gamma=${gamma}&nugget=${nugget}&step=${step}&seed=${seed}&points=${points.join(";")}`
    + (held.length ? `&held=${held.join(";")}` : "");
}

/**
 * @param {string} fragment what follows the #
 * @returns {{state: State, problems: string[]} | null} null where the fragment holds no game
 */
export function read(fragment) {
  if (!fragment.includes("=")) return null;
  const given = new URLSearchParams(fragment);
  const problems = [];
  const parts = { ...start(given, problems) };
  for (const name of ["gamma", "nugget", "step"]) {
    if (given.has(name)) parts[name] = number(name, given.get(name), parts[name], problems);
  }
  if (given.has("seed")) parts.seed = wholeSeed(given.get("seed"), parts.seed, problems);
  if (given.has("points")) {
    Object.assign(parts, { held: [], heldLabels: [] }, readPoints(given.get("points"), problems));
  }
  if (given.has("held")) {
    const { points, labels } = readPoints(given.get("held"), problems, true);
    Object.assign(parts, { held: points, heldLabels: labels });
  }
  for (const key of given.keys()) {
    if (!KEYS.includes(key)) problems.push(`“${short(key)}” means nothing here and was left out.`);
  }
  return { state: create(parts), problems };
}

function short(text) {
  return text.length > 24 ? `${text.slice(0, 24)}…` : text;
}

function start(given, problems) {
  const name = given.get("preset");
  if (name === null) return given.has("points") ? create({}) : PRESETS["two-points"]();
  if (Object.hasOwn(PRESETS, name)) return PRESETS[name]();
  const names = Object.keys(PRESETS).join(", ");
  problems.push(`There is no preset “${short(name)}”; there are ${names}.`);
  return PRESETS["two-points"]();
}

function number(name, text, otherwise, problems) {
  const [least, most] = LIMITS[name];
  const value = text.trim() === "" ? NaN : Number(text);
  if (value >= least && value <= most) return value;
  problems.push(`${name} “${short(text)}” is not a number from ${least} to ${most}; `
    + `${otherwise} is used.`);
  return otherwise;
}

function wholeSeed(text, otherwise, problems) {
  const value = Number(text);
  if (/^\d+$/.test(text) && value < 2 ** 32) return value;
  problems.push(`seed “${short(text)}” is not a whole number below 2^32; ${otherwise} is used.`);
  return otherwise;
}

function readPoints(text, problems, held = false) {
  const read = { points: [], labels: [], green: [] };
  const entries = text === "" ? [] : text.split(";");
  for (const [i, entry] of entries.slice(0, LIMITS.points).entries()) {
    const [x, y, letter, ...rest] = entry.split(",");
    const at = [x, y].map((t) => (t === undefined || t.trim() === "" ? NaN : Number(t)));
    const [least, most] = LIMITS.coordinate;
    const good = at.every((t) => t >= least && t <= most)
      && Object.hasOwn(LETTERS, letter ?? "") && rest.length === 0;
    if (!good) {
      problems.push(`Point ${i + 1}, “${short(entry)}”, is not x,y,P (or p, M, m); it was left out.`);
      continue;
    }
    read.points.push(at);
    read.labels.push(LETTERS[letter][0]);
    read.green.push(LETTERS[letter][1]);
  }
  if (entries.length > LIMITS.points) {
    problems.push(`Only the first ${LIMITS.points} of ${entries.length} points were taken.`);
  }
  const seen = read.green.filter(Boolean).length;
  if (!held && read.points.length > 1 && (seen === 0 || seen === read.points.length)) {
    problems.push("The address hides none or all of the points, so a new half was drawn.");
    read.green = undefined;
  }
  return read;
}

/** Keeps the address of the page in step with a session. */
export class AddressBar {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    this.written = session.state;
  }

  /** Writes the present game, unless it is the one that was written last. */
  write() {
    if (this.written === this.session.state) return;
    this.written = this.session.state;
    history.replaceState(null, "", `#${write(this.written)}`);
  }

  /** Copies the address; returns what to say. @returns {Promise<string>} */
  async copy() {
    history.replaceState(null, "", `#${write(this.session.state)}`);
    try {
      await navigator.clipboard.writeText(location.href);
      return "Copied";
    } catch {
      return "It is in the address bar";
    }
  }
}
