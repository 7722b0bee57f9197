/** Mouse, touch and keyboard on the board. */
import { describePoint } from "./words.js";

/** How near, in pixels, a press has to be to take a point. */
const REACH = { mouse: 14, pen: 18, touch: 26 };
/** A touch that moved further than this was a scroll, not a tap. */
const TAP = 9;

/**
 * @typedef {object} Board
 * @property {import("./session.js").Session} session
 * @property {import("./page.js").Page} page
 * @property {() => "move"|"plus"|"minus"} tool what a click does
 * @property {(on: boolean) => void} dragging
 * @property {(label: number, at: import("./game.js").Point) => void} add
 */

/** The index of the point within reach of a place on a canvas, or null. */
function pick({ session, page }, [px, py], reach) {
  let best = null;
  let nearest = reach;
  session.state.points.forEach((point, i) => {
    const [x, y] = page.frame.toPixels(point);
    const distance = Math.hypot(x - px, y - py);
    if (distance <= nearest) [best, nearest] = [i, distance];
  });
  return best;
}

function place(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/** Drags, adds and chooses points by pointer. @param {Board} board */
export function pointers(board) {
  for (const canvas of board.page.canvases) onePane(board, canvas);
}

function onePane(board, canvas) {
  const { session, page } = board;
  let held = null;
  let tap = null;
  const plane = ([px, py]) => {
    const inside = (t) => Math.min(page.frame.size, Math.max(0, t));
    return page.frame.toPlane(inside(px), inside(py));
  };
  const add = (at) => board.add(board.tool() === "plus" ? 1 : -1, plane(at));

  // A touch that takes a point must not scroll the page; any other may.
  canvas.addEventListener("touchstart", (event) => {
    const at = place(event.touches[0], canvas);
    if (event.touches.length === 1 && pick(board, at, REACH.touch) !== null) event.preventDefault();
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    page.get("board").focus({ preventScroll: true });
    const at = place(event, canvas);
    const hit = pick(board, at, REACH[event.pointerType] ?? REACH.mouse);
    if (hit !== null) {
      const [x, y] = page.frame.toPixels(session.state.points[hit]);
      held = { offset: [x - at[0], y - at[1]], moved: false };
      canvas.setPointerCapture(event.pointerId);
      session.choose(hit);
    } else if (board.tool() === "move") session.choose(null);
    else if (event.pointerType === "touch") tap = at;
    else add(at);
  });

  canvas.addEventListener("pointermove", (event) => {
    const at = place(event, canvas);
    if (tap && Math.hypot(at[0] - tap[0], at[1] - tap[1]) > TAP) tap = null;
    if (!held) {
      canvas.classList.toggle("play-over", pick(board, at, REACH.mouse) !== null);
      return;
    }
    const to = plane([at[0] + held.offset[0], at[1] + held.offset[1]]);
    board.dragging(true);
    session.drag(to, !held.moved);
    held.moved = true;
  });

  const release = (event) => {
    if (tap && event.type === "pointerup") add(tap);
    tap = null;
    if (held?.moved) {
      board.dragging(false);
      page.say(describePoint(session.state, session.chosen));
    }
    held = null;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/**
 * Keys of the board, and undo anywhere in the game.
 * @param {Board} board
 * @param {() => void} undo
 * @param {() => void} redo
 * @param {Record<string, () => void>} actions by lower-case key
 */
export function keys(board, undo, redo, actions) {
  const { page } = board;
  page.root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    if (event.shiftKey) redo();
    else undo();
  });
  page.get("board").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) nudge(board, ARROWS[event.key], event);
    else {
      const action = actions[event.key.toLowerCase()];
      if (!action) return;
      action();
    }
    event.preventDefault();
    event.stopPropagation();
  });
}

function nudge({ session, page }, [dx, dy], event) {
  if (session.chosen === null) session.chooseNext(1);
  if (session.chosen === null) return;
  const length = page.frame.extent / (event.shiftKey ? 600 : 60);
  const [x, y] = session.state.points[session.chosen];
  session.drag([x + dx * length, y + dy * length], !event.repeat);
  page.say(describePoint(session.state, session.chosen));
}
