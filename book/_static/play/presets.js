/** Games to start from. */
import { generator, normal } from "./random.js";
import { create } from "./state.js";

/** Two points at distance gamma sqrt(log 2), so that k = 1/2; the first is green: rho = 1/4. */
function twoPoints() {
  const gamma = 1.8;
  const half = (gamma * Math.sqrt(Math.log(2))) / 2;
  return create({
    points: [[-half, 0], [half, 0]], labels: [1, 1], green: [true, false], gamma, step: 0.03,
  });
}

/** The same two points with different labels: rho = 3/4. */
function twoColours() {
  return { ...twoPoints(), labels: [1, -1] };
}

/** Two interleaved half circles of 20 points. */
function twoMoons() {
  const random = generator(4);
  const points = [];
  const labels = [];
  for (let i = 0; i < 40; i++) {
    const label = i % 2 ? 1 : -1;
    const t = (Math.PI * (i + 0.5)) / 40;
    const wobble = () => 0.08 * normal(random);
    points.push([
      1.5 * label * Math.cos(t) + 0.75 * label + wobble(),
      1.5 * label * Math.sin(t) - 0.4 * label + wobble(),
    ]);
    labels.push(label);
  }
  return create({ points, labels, gamma: 0.8, nugget: 1e-3, step: 0.02 });
}

/** Two interleaved arms of 50 points, as `kflow.data.swiss_roll` but evenly spaced. */
function swissRoll() {
  const points = [];
  const labels = [];
  for (let i = 0; i < 100; i++) {
    const label = i % 2 ? 1 : -1;
    const turn = Math.sqrt(0.02 + 0.98 * (Math.floor(i / 2) + 0.5) / 50);
    const angle = 3 * Math.PI * turn;
    points.push([2 * label * turn * Math.cos(angle), 2 * label * turn * Math.sin(angle)]);
    labels.push(label);
  }
  return create({ points, labels, gamma: 0.5, nugget: 1e-3, step: 0.05 });
}

/** Labels drawn by a coin: nothing to learn, so half of the points say little about the others. */
function coinTosses() {
  const random = generator(11);
  const points = [];
  const labels = [];
  while (points.length < 40) {
    const point = [4.6 * (random() - 0.5), 4.6 * (random() - 0.5)];
    const clear = points.every((p) => Math.hypot(p[0] - point[0], p[1] - point[1]) > 0.35);
    if (!clear) continue;
    points.push(point);
    labels.push(random() < 0.5 ? 1 : -1);
  }
  return create({ points, labels, gamma: 0.8, nugget: 1e-4, step: 0.05 });
}

/** Plus to the right, minus to the left, but a fifth of the labels flipped; 100 points held out. */
function noisyLabels() {
  const random = generator(6);
  const place = () => [4.4 * (random() - 0.5), 4.4 * (random() - 0.5)];
  const side = ([x]) => (x > 0 ? 1 : -1);
  const points = [];
  while (points.length < 60) {
    const point = place();
    if (points.every((p) => Math.hypot(p[0] - point[0], p[1] - point[1]) > 0.2)) points.push(point);
  }
  const labels = points.map((point) => (random() < 1 / 5 ? -side(point) : side(point)));
  const held = Array.from({ length: 100 }, place);
  return create({
    points, labels, held, heldLabels: held.map(side), gamma: 0.8, nugget: 0.1, step: 0.05,
  });
}

/** @type {Record<string, () => import("./state.js").State>} */
export const PRESETS = {
  "two-points": twoPoints,
  "two-colours": twoColours,
  "two-moons": twoMoons,
  "swiss-roll": swissRoll,
  "coin-tosses": coinTosses,
  "noisy-labels": noisyLabels,
};
