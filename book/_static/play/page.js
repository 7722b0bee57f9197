/** Shows a session on the page: pictures, numbers, words, and which buttons can be pressed. */
import { fit } from "../canvas.js";
import { Frame, paintArrows, paintBoundary, paintField, paintHeld, paintMesh, paintPoints, paintTrace }
  from "./draw.js";
import { fields } from "./field.js";
import { position } from "./sliders.js";
import { heldErrors } from "./state.js";
import { readTheme } from "./theme.js";
import { brief, describe, describeTrace, fixed, signOf, trouble, verdict } from "./words.js";

/** Cells along the side of a pane: at rest, and least and most while something moves. */
const CELLS = { rest: 160, least: 32, most: 96 };
const CAPTIONS = {
  fine: "Player I: all points",
  coarse: "Player II: the green half",
  lost: "What is lost: the difference",
};
const VALUE_OF_FULL_COLOUR = 1.25;

/** @typedef {{view: "fine"|"coarse"|"lost", arrows: boolean, mesh: boolean}} Choices */

export class Page {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.get = (id) => root.querySelector(`#play-${id}`);
    this.canvases = [...root.querySelectorAll(".play-pane canvas")];
    this.theme = readTheme(root);
    this.cells = 64;
    this.frame = new Frame(1, 3);
  }

  retheme() {
    this.theme = readTheme(this.root);
  }

  /** True where only one pane has room. */
  get narrow() {
    return this.canvases[1].clientWidth === 0;
  }

  /**
   * @param {import("./session.js").Session} session
   * @param {Choices} choices
   * @param {boolean} moving a drag or a run goes on, so be quick
   */
  render(session, choices, moving) {
    const extent = moving ? Math.max(this.frame.extent, session.extent) : session.extent;
    this.frame = new Frame(this.canvases[0].clientWidth, extent);
    this.#paint(session, choices, moving ? this.cells : CELLS.rest);
    this.#numbers(session, moving);
    if (!moving) this.#words(session);
    this.#buttons(session);
  }

  #paint(session, choices, cells) {
    const { state, game, chosen } = session;
    const views = this.narrow ? [choices.view] : ["fine", choices.view];
    const captions = ["left", "right"].map((side) => this.get(`${side}-caption`));
    const grids = game ? this.#grids(state, game, views, cells) : null;
    views.forEach((view, pane) => {
      captions[pane].textContent = CAPTIONS[view];
      const { context, width: size } = fit(this.canvases[pane]);
      if (grids) {
        paintField(context, size, grids[pane], cells, this.theme, VALUE_OF_FULL_COLOUR);
        if (view !== "lost") paintBoundary(context, size, grids[pane], cells, this.theme);
      }
      if (choices.mesh) paintMesh(context, this.frame, state.mesh, this.theme);
      paintHeld(context, this.frame, state.held, state.heldLabels, this.theme);
      const radius = state.points.length > 120 ? 4 : state.points.length > 30 ? 5.5 : 8;
      const look = { radius, selected: chosen, onlyGreen: view === "coarse" };
      if (choices.arrows && game && pane === 0) {
        paintArrows(context, this.frame, state.points, game.gradient, 0.11 * size, this.theme);
      }
      paintPoints(context, this.frame, state, look, this.theme);
    });
  }

  #grids(state, game, views, cells) {
    const difference = game.fine.weights.map((w, i) => w - game.coarse.weights[i]);
    const weights = { fine: game.fine.weights, coarse: game.coarse.weights, lost: difference };
    const { extent } = this.frame;
    return fields(state.points, views.map((v) => weights[v]), state.gamma, extent, cells);
  }

  #numbers({ state, game }, moving) {
    const rho = game ? game.rho : null;
    this.get("rho").textContent = rho === null ? "–" : fixed(rho);
    const bar = this.get("bar");
    const share = rho === null ? 0 : Math.min(1, Math.max(0, 1 - rho));
    bar.style.setProperty("--play-share", share);
    bar.classList.toggle("play-void", rho === null);
    bar.setAttribute("aria-valuenow", rho === null ? "0" : rho.toFixed(3));
    bar.setAttribute("aria-valuetext", rho === null ? "not defined" : `rho is ${fixed(rho)}`);
    this.get("kept").textContent = rho === null ? "" : `kept ${fixed(game.coarse.energy, 2)}`;
    this.get("lost").textContent = rho === null ? ""
      : `of ${fixed(game.fine.energy, 2)}, lost ${fixed(game.fine.energy - game.coarse.energy, 2)}`;
    this.get("verdict").textContent = rho === null ? "No game to play: see below." : verdict(rho);
    paintTrace(this.get("trace"), state.trace, rho, this.theme);
    if (!moving) this.get("trace").setAttribute("aria-label", describeTrace(state.trace, rho));
    this.get("layers").textContent = (state.trace.length === 0 ? "ρ along the layers"
      : `ρ along ${state.trace.length} layer${state.trace.length > 1 ? "s" : ""}`)
      + (state.held.length && game
        ? `; held-out labels wrong: ${heldErrors(state, game)} of ${state.held.length}` : "");
    for (const name of ["gamma", "nugget", "step"]) {
      this.get(`${name}-value`).textContent = brief(state[name]);
      const slider = this.get(name);
      slider.setAttribute("aria-valuetext", brief(state[name]));
      if (document.activeElement !== slider) slider.value = position(name, state[name]);
    }
  }

  #words({ state, game }) {
    this.get("summary").textContent = describe(state, game);
    if (this.root.querySelector(".play-table").open) this.#table(state, game);
  }

  #table(state, game) {
    const cell = (text) => Object.assign(document.createElement("td"), { textContent: text });
    this.get("rows").replaceChildren(...state.points.map(([x, y], i) => {
      const row = document.createElement("tr");
      const arrow = game ? game.gradient[i].map((g) => fixed(-g)) : ["–", "–"];
      row.append(...[String(i + 1), fixed(x, 2), fixed(y, 2), signOf(state.labels[i]),
        state.green[i] ? "green" : "hidden", ...arrow].map(cell));
      return row;
    }));
  }

  #buttons({ history, game, chosen, state }) {
    this.get("undo").disabled = !history.canUndo;
    this.get("redo").disabled = !history.canRedo;
    this.get("flip").disabled = this.get("remove").disabled = chosen === null;
    this.get("layer").disabled = this.get("run").disabled = !game;
    this.get("half").disabled = state.points.length < 2;
  }

  /**
   * Says what is wrong with the present game, or with an address; nothing where all is well.
   * @param {import("./session.js").Session} session
   * @param {string[]} problems of the address
   * @param {(nugget: number) => void} mend
   */
  complain(session, problems, mend) {
    const found = trouble(session.state, session.outcome);
    const texts = [...problems, ...(found ? [found.text] : [])];
    const box = this.get("message");
    if (box.dataset.said === texts.join("\n")) return;
    box.dataset.said = texts.join("\n");
    box.classList.toggle("play-trouble", texts.length > 0);
    box.replaceChildren(...texts.slice(0, 4).map((text) =>
      Object.assign(document.createElement("p"), { textContent: text })));
    if (texts.length > 4) box.append(`And ${texts.length - 4} more of the kind.`);
    if (found?.cure) {
      const button = Object.assign(document.createElement("button"), {
        type: "button", textContent: found.cure.label,
      });
      button.addEventListener("click", () => mend(found.cure.nugget));
      box.append(button);
    }
  }

  /** Tells a screen reader what has just happened. @param {string} text */
  say(text) {
    this.get("status").textContent = text;
  }

  /**
   * Tells the frame rate, and takes fewer cells where frames are slow, more where there is time.
   * @param {number} milliseconds a frame takes
   */
  pace(milliseconds) {
    const wanted = this.cells * (milliseconds > 22 ? 0.97 : 1.02);
    this.cells = Math.round(Math.min(CELLS.most, Math.max(CELLS.least, wanted)));
    this.get("pace").textContent =
      `${Math.round(1000 / milliseconds)} frames a second, ${this.cells} × ${this.cells} cells`;
  }
}
