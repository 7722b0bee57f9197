/** Wires the game to its page. */
import { onThemeChange } from "../canvas.js";
import { read, write } from "./address.js";
import { keys, pointers } from "./hands.js";
import { Page } from "./page.js";
import { PRESETS } from "./presets.js";
import { Session } from "./session.js";
import { value } from "./sliders.js";
import { LIMITS, newHalf, setNumber } from "./state.js";
import { describePoint, describeTrace, fixed } from "./words.js";

/** After this many milliseconds at rest the picture is drawn finely and the address is written. */
const REST = 160;

function start(root) {
  const shared = read(location.hash.slice(1));
  let problems = shared?.problems ?? [];
  let dragging = false;
  let running = false;
  let pending = 0;
  let resting = 0;

  const session = new Session(shared?.state ?? PRESETS["two-points"](), changed);
  const page = new Page(root);
  const checked = (id) => page.get(id).checked;
  const radio = (name) => root.querySelector(`input[name="play-${name}"]:checked`).value;
  const board = {
    session, page, add,
    tool: () => radio("tool"),
    dragging: (on) => { dragging = on; if (!on) changed(); },
  };

  function choices() {
    return { view: radio("view"), arrows: checked("arrows"), mesh: checked("mesh") };
  }

  /** With room for two panes, the left one always shows all points. */
  function showWhatFits() {
    if (page.narrow || radio("view") !== "fine") return;
    root.querySelector("[value=coarse]").checked = true;
  }

  /** Draws soon, and finely once nothing has changed for a while. */
  function changed() {
    if (!pending) pending = requestAnimationFrame(draw);
    clearTimeout(resting);
    if (!running) resting = setTimeout(rest, REST);
  }

  function draw() {
    pending = 0;
    page.render(session, choices(), dragging || running);
    page.complain(session, problems, mend);
  }

  let written = null;
  function rest() {
    if (dragging) return;
    page.render(session, choices(), false);
    if (written === null || written === session.state) {
      written = session.state;
      return;
    }
    written = session.state;
    history.replaceState(null, "", `#${write(session.state)}`);
  }

  /** An action of the reader: it ends a run, and answers what was wrong with an address. */
  function edit(action, say = sayRho) {
    return () => {
      stop();
      problems = [];
      action();
      say();
    };
  }

  function add(label, at) {
    stop();
    const added = session.add(at, label);
    problems = added ? [] : [`The plane is full: at most ${LIMITS.points} points.`];
    changed();
    if (added) sayChosen();
  }

  function addBeside() {
    const from = session.chosen === null ? [0, 0] : session.state.points[session.chosen];
    const aside = page.frame.extent / 8;
    const x = from[0] + aside > page.frame.extent ? from[0] - aside : from[0] + aside;
    add(board.tool() === "minus" ? -1 : 1, [x, from[1]]);
  }

  function mend(nugget) {
    session.push(setNumber(session.state, "nugget", nugget));
    page.get("board").focus({ preventScroll: true });
  }

  function sayRho() {
    const { state, game } = session;
    page.say(game ? `Rho is ${fixed(game.rho)}. ${describeTrace(state.trace, game.rho)}` : "");
  }

  function sayChosen() {
    if (session.chosen !== null) page.say(describePoint(session.state, session.chosen));
  }

  /** One more layer, or a word on why there is none. */
  function deeper(sameStep) {
    if (session.layer(checked("fresh"), sameStep)) return true;
    const end = LIMITS.coordinate[1];
    if (session.game) problems = [`A point would leave the plane, which ends at ${end}.`];
    changed();
    return false;
  }

  const oneLayer = edit(() => deeper(false));
  const undo = edit(() => session.undo());
  const redo = edit(() => session.redo());
  const drawHalf = edit(() => session.push(newHalf(session.state)));
  const flip = edit(() => session.flip(), sayChosen);
  const remove = edit(() => session.remove());

  /** The flow runs a layer a frame until it is stopped or can't go on. */
  function run() {
    let first = true;
    let last = performance.now();
    let pace = 16;
    running = true;
    problems = [];
    page.get("run").textContent = "Pause";
    const frame = (now) => {
      if (!running) return;
      pace += 0.1 * (now - last - pace);
      last = now;
      page.pace(pace);
      if (!deeper(!first)) return void stop();
      first = false;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  function stop() {
    if (!running) return;
    running = false;
    page.get("run").textContent = "Run";
    sayRho();
    changed();
  }

  const toggle = () => { if (running) stop(); else if (session.game) run(); };

  async function share() {
    history.replaceState(null, "", `#${write(session.state)}`);
    try {
      await navigator.clipboard.writeText(location.href);
      flash("Copied");
    } catch {
      flash("It is in the address bar");
    }
  }

  function flash(text) {
    const button = page.get("share");
    button.textContent = text;
    page.say(text);
    setTimeout(() => { button.textContent = "Copy link"; }, 2500);
  }

  function on(id, action) {
    page.get(id).addEventListener("click", action);
  }

  on("run", toggle);
  on("layer", oneLayer);
  on("half", drawHalf);
  on("undo", undo);
  on("redo", redo);
  on("flip", flip);
  on("remove", remove);
  on("share", share);
  for (const button of root.querySelectorAll("[data-preset]")) {
    button.addEventListener("click", edit(() => {
      session.chosen = null;
      session.push(PRESETS[button.dataset.preset]());
    }));
  }
  for (const name of ["gamma", "nugget", "step"]) slide(name);
  for (const input of root.querySelectorAll("[type=radio], [type=checkbox]")) {
    input.addEventListener("change", changed);
  }
  root.querySelector(".play-table").addEventListener("toggle", changed);

  /** One undo step for each grip of a slider. */
  function slide(name) {
    let gripped = false;
    const slider = page.get(name);
    slider.addEventListener("input", () => {
      const next = setNumber(session.state, name, value(name, Number(slider.value)));
      if (gripped) session.replace(next);
      else session.push(next);
      gripped = true;
    });
    slider.addEventListener("change", () => { gripped = false; });
  }

  pointers(board);
  keys(board, undo, redo, {
    n: () => { session.chooseNext(1); sayChosen(); },
    p: () => { session.chooseNext(-1); sayChosen(); },
    a: addBeside,
    f: flip,
    delete: remove,
    backspace: remove,
    h: drawHalf,
    l: oneLayer,
    r: toggle,
    escape: () => session.choose(null),
  });

  onThemeChange(() => { page.retheme(); changed(); });
  new ResizeObserver(() => { showWhatFits(); changed(); }).observe(page.get("board"));
  window.addEventListener("hashchange", () => {
    const given = read(location.hash.slice(1));
    if (!given) return;
    stop();
    problems = given.problems;
    session.push(given.state);
  });
  if (page.narrow) root.querySelector("input[value=fine]").checked = true;
  changed();
  root.dataset.ready = "true";
}

start(document.getElementById("play"));
