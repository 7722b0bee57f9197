/** The pictures: a pane of the plane, and the trace of rho. */
import { fit } from "../canvas.js";
import { zeroLines } from "./field.js";

/** Maps the plane [-extent, extent]^2 to a square of `size` pixels, and back. */
export class Frame {
  /** @param {number} size @param {number} extent */
  constructor(size, extent) {
    this.size = size;
    this.extent = extent;
  }

  /** @param {import("./game.js").Point} point */
  toPixels([x, y]) {
    const scale = this.size / (2 * this.extent);
    return [(x + this.extent) * scale, (this.extent - y) * scale];
  }

  /** @param {number} px @param {number} py @returns {import("./game.js").Point} */
  toPlane(px, py) {
    const scale = (2 * this.extent) / this.size;
    return [px * scale - this.extent, this.extent - py * scale];
  }
}

const scratch = typeof document === "undefined" ? null : document.createElement("canvas");

/** Paints a grid of values: one label's colour where positive, the other's where negative. */
export function paintField(context, size, values, r, theme, range) {
  scratch.width = r;
  scratch.height = r;
  const image = new ImageData(r, r);
  for (let i = 0; i < r * r; i++) {
    const t = Math.min(1, Math.max(-1, values[i] / range));
    const shade = 3 * Math.round(127.5 * (t + 1));
    image.data[4 * i] = theme.shades[shade];
    image.data[4 * i + 1] = theme.shades[shade + 1];
    image.data[4 * i + 2] = theme.shades[shade + 2];
    image.data[4 * i + 3] = 255;
  }
  scratch.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(scratch, 0, 0, size, size);
}

/** Draws the line where the interpolant is zero. */
export function paintBoundary(context, size, values, r, theme) {
  context.beginPath();
  for (const [x1, y1, x2, y2] of zeroLines(values, r)) {
    context.moveTo((x1 * size) / r, (y1 * size) / r);
    context.lineTo((x2 * size) / r, (y2 * size) / r);
  }
  stroke(context, theme.ink, 1.5, 0.75);
}

function stroke(context, colour, width, alpha = 1) {
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.globalAlpha = 1;
}

/** Draws lines that the flow has carried along, but not where it has stretched them too far. */
export function paintMesh(context, frame, mesh, theme) {
  context.beginPath();
  for (const line of mesh) {
    let before = null;
    for (const point of line) {
      const [x, y] = frame.toPixels(point);
      const near = before && Math.hypot(x - before[0], y - before[1]) < frame.size / 8;
      if (near) context.lineTo(x, y);
      else context.moveTo(x, y);
      before = [x, y];
    }
  }
  stroke(context, theme.ink, 1, 0.28);
}

/** Draws held-out points, small, in the colour of their label. */
export function paintHeld(context, frame, held, labels, theme) {
  held.forEach((point, i) => {
    const [x, y] = frame.toPixels(point);
    context.fillStyle = labels[i] > 0 ? theme.plus : theme.minus;
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
  });
}

/** Draws an arrow down the gradient at every point, the longest of `longest` pixels. */
export function paintArrows(context, frame, points, gradient, longest, theme) {
  const lengths = gradient.map(([gx, gy]) => Math.hypot(gx, gy));
  const most = Math.max(...lengths);
  if (!(most > 0)) return;
  context.beginPath();
  points.forEach((point, i) => {
    const length = (longest * lengths[i]) / most;
    if (length < 2) return;
    const [ux, uy] = [-gradient[i][0] / lengths[i], gradient[i][1] / lengths[i]];
    const [x, y] = frame.toPixels(point);
    const [ex, ey] = [x + ux * length, y + uy * length];
    const head = Math.min(7, 0.45 * length);
    context.moveTo(x, y);
    context.lineTo(ex, ey);
    context.moveTo(ex - head * (ux + 0.6 * uy), ey - head * (uy - 0.6 * ux));
    context.lineTo(ex, ey);
    context.lineTo(ex - head * (ux - 0.6 * uy), ey - head * (uy + 0.6 * ux));
  });
  context.lineJoin = context.lineCap = "round";
  stroke(context, theme.paper, 4, 0.7);
  stroke(context, theme.ink, 1.8);
}

/**
 * Draws the points: discs for plus, squares for minus; a green ring for the half that is seen.
 * Where `onlyGreen`, the hidden points are faint outlines.
 */
export function paintPoints(context, frame, state, { radius, selected, onlyGreen }, theme) {
  state.points.forEach((point, i) => {
    const [x, y] = frame.toPixels(point);
    const plus = state.labels[i] > 0;
    const colour = plus ? theme.plus : theme.minus;
    const shape = (r) => {
      context.beginPath();
      if (plus) context.arc(x, y, r, 0, 2 * Math.PI);
      else context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
    };
    if (onlyGreen && !state.green[i]) {
      shape(radius * 0.7);
      stroke(context, colour, 1.5, 0.6);
    } else {
      shape(radius + (state.green[i] ? 4 : 1.5));
      context.fillStyle = state.green[i] ? theme.green : theme.paper;
      context.fill();
      if (state.green[i]) {
        shape(radius + 1.5);
        context.fillStyle = theme.paper;
        context.fill();
      }
      shape(radius);
      context.fillStyle = colour;
      context.fill();
      if (radius > 6) paintSign(context, x, y, radius * 0.5, plus, theme.paper);
    }
    if (i === selected) {
      context.beginPath();
      context.arc(x, y, radius + 9, 0, 2 * Math.PI);
      context.setLineDash([4, 3]);
      stroke(context, theme.ink, 1.5);
      context.setLineDash([]);
    }
  });
}

function paintSign(context, x, y, r, plus, colour) {
  context.beginPath();
  context.moveTo(x - r, y);
  context.lineTo(x + r, y);
  if (plus) {
    context.moveTo(x, y - r);
    context.lineTo(x, y + r);
  }
  stroke(context, colour, 2);
}

/** Draws rho against layers, from 0 at the bottom to its largest value at the top. */
export function paintTrace(canvas, trace, now, theme) {
  const { context, width, height } = fit(canvas);
  context.beginPath();
  context.moveTo(0, height - 0.5);
  context.lineTo(width, height - 0.5);
  stroke(context, theme.line, 1);
  const values = now === null ? trace : [...trace, now];
  const last = Math.max(values.length - 1, 24);
  const top = values.reduce((most, v) => Math.max(most, v), 1e-3);
  const at = (i) => [3 + ((width - 8) * i) / last, 4 + (1 - values[i] / top) * (height - 8)];
  context.beginPath();
  const every = Math.max(1, Math.floor(values.length / width));
  for (let i = (values.length - 1) % every; i < values.length; i += every) context.lineTo(...at(i));
  context.lineJoin = "round";
  stroke(context, theme.ink, 1.5);
  if (values.length === 0) return;
  context.beginPath();
  context.arc(...at(values.length - 1), 3, 0, 2 * Math.PI);
  context.fillStyle = theme.ink;
  context.fill();
}
