/** Runs the flow a layer a frame, until it is stopped or can't go on. */
export class Runner {
  /**
   * @param {(first: boolean) => boolean} layer goes one layer deeper; false ends the run
   * @param {(milliseconds: number) => void} pace told the mean time of a frame
   * @param {() => void} changed called when a run begins or ends
   */
  constructor(layer, pace, changed) {
    Object.assign(this, { layer, pace, changed, running: false });
  }

  start() {
    let first = true;
    let last = performance.now();
    let mean = 16;
    const frame = (now) => {
      if (!this.running) return;
      mean += 0.1 * (now - last - mean);
      last = now;
      this.pace(mean);
      if (!this.layer(first)) return void this.stop();
      first = false;
      requestAnimationFrame(frame);
    };
    this.running = true;
    this.changed();
    requestAnimationFrame(frame);
  }

  stop() {
    if (!this.running) return;
    this.running = false;
    this.changed();
  }
}
