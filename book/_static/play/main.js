/** Wires the game to its page. */
import { onThemeChange } from "../canvas.js";
import { AddressBar, read } from "./address.js";
import { keys, pointers } from "./hands.js";
import { Page } from "./page.js";
import { PRESETS } from "./presets.js";
import { Runner } from "./runner.js";
import { Session } from "./session.js";
import { connect } from "./sliders.js";
import { LIMITS, newHalf, setNumber } from "./state.js";
import { describePoint, describeTrace, fixed } from "./words.js";

/** After this many milliseconds at rest the picture is drawn finely and the address is written. */
const REST = 160;

function start(root) {
  const shared = read(location.hash.slice(1));
  let problems = shared?.problems ?? [];
  let dragging = false;
  let pending = 0;
  let resting = 0;

  const session = new Session(shared?.state ?? PRESETS["two-points"](), changed);
  const page = new Page(root);
  const address = new AddressBar(session);
  const runner = new Runner((first) => deeper(!first), (time) => page.pace(time), turned);
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
    if (!runner.running) resting = setTimeout(rest, REST);
  }

  function draw() {
    pending = 0;
    page.render(session, choices(), dragging || runner.running);
    page.complain(session, problems, mend);
  }

  function rest() {
    if (dragging) return;
    page.render(session, choices(), false);
    address.write();
  }

  /** An action of the reader: it ends a run, and answers what was wrong with an address. */
  function edit(action, say = sayRho) {
    return () => {
      runner.stop();
      problems = [];
      action();
      say();
    };
  }

  function add(label, at) {
    runner.stop();
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

  /** A run began or ended. */
  function turned() {
    page.get("run").textContent = runner.running ? "Pause" : "Run";
    if (runner.running) problems = [];
    else sayRho();
    changed();
  }

  function toggle() {
    if (runner.running) runner.stop();
    else if (session.game) runner.start();
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
  on("share", async () => flash(await address.copy()));
  for (const button of root.querySelectorAll("[data-preset]")) {
    button.addEventListener("click", edit(() => {
      session.chosen = null;
      session.push(PRESETS[button.dataset.preset]());
    }));
  }
  for (const name of ["gamma", "nugget", "step"]) connect(page.get(name), name, session);
  for (const input of root.querySelectorAll("[type=radio], [type=checkbox]")) {
    input.addEventListener("change", changed);
  }
  root.querySelector(".play-table").addEventListener("toggle", changed);

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
    runner.stop();
    problems = given.problems;
    session.push(given.state);
  });
  if (page.narrow) root.querySelector("input[value=fine]").checked = true;
  changed();
  root.dataset.ready = "true";
}

start(document.getElementById("play"));
