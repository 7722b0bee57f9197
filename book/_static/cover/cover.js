/** The moving picture of the cover: points of a published flow on their way, and their traces. */
import { fit, onThemeChange } from "../canvas.js";

/** Seconds from the first picture to the last. */
const SECONDS = 11;

function start(cover) {
  const { layers, labels, frames, reach } = JSON.parse(cover.querySelector("script").textContent);
  const canvas = cover.querySelector("canvas");
  const button = cover.querySelector("button");
  const counter = cover.querySelector("output");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const last = frames.length - 1;
  let at = still.matches ? last : 0;
  let before = null;

  /** The number j of a list, between two pictures. */
  const between = (list, j) => {
    const i = Math.min(Math.floor(at), last - 1);
    return list[i][j] + (at - i) * (list[i + 1][j] - list[i][j]);
  };

  function draw() {
    const { context, width } = fit(canvas);
    const style = getComputedStyle(cover);
    const colour = (label) => style.getPropertyValue(label > 0 ? "--cover-plus" : "--cover-minus");
    const pixel = (value, sign) => width * (0.5 + (sign * value) / (2 * reach));
    const x = (j) => pixel(between(frames, 2 * j), 1);
    const y = (j) => pixel(between(frames, 2 * j + 1), -1);
    labels.forEach((label, j) => {
      context.beginPath();
      for (let i = 0; i <= at; i++) {
        context.lineTo(pixel(frames[i][2 * j], 1), pixel(frames[i][2 * j + 1], -1));
      }
      context.lineTo(x(j), y(j));
      context.strokeStyle = colour(label);
      context.globalAlpha = 0.22;
      context.stroke();
    });
    context.globalAlpha = 1;
    const r = Math.max(2.5, width / 110);
    labels.forEach((label, j) => {
      context.beginPath();
      if (label > 0) context.arc(x(j), y(j), r, 0, 2 * Math.PI);
      else context.rect(x(j) - 0.88 * r, y(j) - 0.88 * r, 1.76 * r, 1.76 * r);
      context.fillStyle = colour(label);
      context.fill();
    });
    counter.textContent = `${Math.round(between(layers.map((k) => [k]), 0))} layers`;
  }

  function step(now) {
    if (before === null) return;
    at = Math.min(last, at + (Math.max(0, now - before) / 1000) * (last / SECONDS));
    before = now;
    draw();
    if (at < last) requestAnimationFrame(step);
    else pause();
  }

  function play() {
    if (at >= last) at = 0;
    before = performance.now();
    button.textContent = "Pause";
    requestAnimationFrame(step);
  }

  function pause() {
    before = null;
    button.textContent = "Play";
  }

  button.addEventListener("click", () => { if (before === null) play(); else pause(); });
  still.addEventListener("change", () => { if (still.matches) pause(); });
  onThemeChange(draw);
  new ResizeObserver(draw).observe(canvas);
  cover.classList.add("cover-ready");
  draw();
  if (!still.matches) play();
}

start(document.querySelector(".cover"));
