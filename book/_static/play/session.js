/** One reader's game: the history of states, the chosen point, and the last outcome. */
import { History } from "./history.js";
import { EXTENT, LIMITS, addPoint, clamp, flipLabel, movePoint, newHalf, oneLayer, played,
  removePoint } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./game.js").Point} Point */

export class Session {
  /** @param {State} state @param {() => void} changed called after every change */
  constructor(state, changed) {
    this.history = new History(state);
    this.changed = changed;
    /** @type {number | null} index of the chosen point */
    this.chosen = null;
    /** @type {{state: State, outcome: import("./game.js").Game | Error | null} | null} */
    this.cache = null;
  }

  /** @returns {State} */
  get state() {
    return this.history.present;
  }

  /** The outcome of playing the present state: a game, an error, or null with too few points. */
  get outcome() {
    if (this.cache?.state !== this.state) {
      this.cache = { state: this.state, outcome: attempt(this.state) };
    }
    return this.cache.outcome;
  }

  /** The game where it can be played, else null. */
  get game() {
    return this.outcome instanceof Error ? null : this.outcome;
  }

  /** Half the width of a plane that shows every point. */
  get extent() {
    const far = Math.max(EXTENT, ...this.state.points.flat().map((t) => 1.04 * Math.abs(t)));
    return EXTENT * 1.25 ** Math.ceil(Math.log(far / EXTENT) / Math.log(1.25));
  }

  /** @param {State} next a new step of the history */
  push(next) {
    this.history.push(next);
    this.#settle();
  }

  /** @param {State} next more of the same step, as along a drag */
  replace(next) {
    this.history.replace(next);
    this.#settle();
  }

  #settle() {
    if (this.chosen !== null && this.chosen >= this.state.points.length) this.chosen = null;
    this.changed();
  }

  undo() {
    this.history.undo();
    this.#settle();
  }

  redo() {
    this.history.redo();
    this.#settle();
  }

  /** @param {number | null} i */
  choose(i) {
    this.chosen = i;
    this.changed();
  }

  /** Chooses the point `by` places further on. @param {number} by */
  chooseNext(by) {
    const n = this.state.points.length;
    if (n === 0) return;
    const from = this.chosen ?? (by > 0 ? -1 : 0);
    this.choose((from + by + n) % n);
  }

  /** @param {Point} to @param {boolean} first the first move of a drag starts an undo step */
  drag(to, first) {
    const next = movePoint(this.state, this.chosen, to);
    if (first) this.push(next);
    else this.replace(next);
  }

  /** @param {Point} at @param {number} label @returns {boolean} false where the plane is full */
  add(at, label) {
    if (this.state.points.length >= LIMITS.points) return false;
    this.chosen = this.state.points.length;
    this.push(addPoint(this.state, at.map((t) => clamp(t, LIMITS.coordinate)), label));
    return true;
  }

  flip() {
    if (this.chosen !== null) this.push(flipLabel(this.state, this.chosen));
  }

  remove() {
    if (this.chosen === null) return;
    const gone = this.chosen;
    this.chosen = null;
    this.push(removePoint(this.state, gone));
  }

  /**
   * Goes one layer deep, if the game can be played and no point leaves the plane.
   * @param {boolean} fresh draw a new half afterwards
   * @param {boolean} sameStep count it to the undo step of the layer before
   * @returns {boolean}
   */
  layer(fresh, sameStep = false) {
    if (!this.game) return false;
    const next = oneLayer(this.state, this.game);
    if (!next.points.flat().every((t) => Math.abs(t) <= LIMITS.coordinate[1])) return false;
    const state = fresh ? newHalf(next) : next;
    if (sameStep) this.replace(state);
    else this.push(state);
    return true;
  }
}

function attempt(state) {
  if (state.points.length < 2) return null;
  try {
    return played(state);
  } catch (error) {
    return error;
  }
}
