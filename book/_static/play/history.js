/** Undo and redo over a list of states. */

/** @template T */
export class History {
  /** @param {T} present @param {number} depth how many steps back are kept */
  constructor(present, depth = 200) {
    this.present = present;
    this.depth = depth;
    this.past = [];
    this.future = [];
  }

  /** Makes `next` the present; the old present can be reached by undo. @param {T} next */
  push(next) {
    this.past = [...this.past, this.present].slice(-this.depth);
    this.future = [];
    this.present = next;
  }

  /** Makes `next` the present within the same step, as along a drag. @param {T} next */
  replace(next) {
    this.present = next;
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  undo() {
    if (!this.canUndo) return;
    this.future.push(this.present);
    this.present = this.past.pop();
  }

  redo() {
    if (!this.canRedo) return;
    this.past.push(this.present);
    this.present = this.future.pop();
  }
}
