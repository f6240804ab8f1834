/** What the restarts of a supervised training cost: the work since the last checkpoint that was kept is done again. */

/** A start of the job that was lost, and what of it the next one does again. */
export interface Restart {
  readonly why: string;
  /** Steps that the ranks had told of beyond the checkpoint; they tell every half second. */
  readonly steps: number;
  /** From the state that the checkpoint holds to the lost rank's last sign of life, and the half second after it. */
  readonly seconds: number;
}

export class Restarts {
  readonly #list: { why: string; steps: number; seconds: number }[] = [];
  /** When a state was the present one, by its step, in milliseconds: those that are kept, and the one begun from. */
  readonly #saved = new Map<number, number>();
  #furthest = 0;
  /** The loss that the next start will tell the size of, and when it was. */
  #open: { readonly index: number; readonly at: number } | undefined;

  get list(): readonly Restart[] {
    return this.#list;
  }

  /** A start trains from the state of this step on. Answers what was lost, when it is one after a loss. */
  begun(step: number, at: number): Restart | undefined {
    const open = this.#open;
    const lost = open && this.#list[open.index];
    if (open && lost) {
      lost.steps = Math.max(0, this.#furthest - step);
      // A rank may have died between keeping a checkpoint and telling of it: then an older one bounds what was lost.
      const known = Math.max(...[...this.#saved.keys()].filter((saved) => saved <= step));
      lost.seconds = (open.at - (this.#saved.get(known) ?? open.at)) / 1000;
    }
    this.#open = undefined;
    this.#saved.clear();
    this.#saved.set(step, at);
    this.#furthest = step;
    return lost;
  }

  stepped(step: number): void {
    this.#furthest = Math.max(this.#furthest, step);
  }

  /** A checkpoint is kept whose state was the present one at a time. */
  kept(step: number, at: number): void {
    this.stepped(step);
    this.#saved.set(step, at);
  }

  lost(why: string, at: number): void {
    this.#list.push({ why, steps: 0, seconds: 0 });
    // One that had not begun lost nothing; the size of the one before is still to come.
    if (this.#saved.size > 0) this.#open ??= { index: this.#list.length - 1, at };
  }
}
