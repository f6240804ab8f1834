/** A fit in steps: each is some blocks that do not depend on one another, so that threads may share them out. */

/** Over shared memory, where threads are to do it. */
export interface FitStep {
  readonly kind: string;
  readonly blocks: number;
}

/** Does all steps by the calling thread. @param workOf what does a block of a step */
export function inPlace<S extends FitStep, R>(
  steps: Generator<S, R, void>,
  workOf: (step: S) => (block: number) => void,
): R {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
    const work = workOf(next.value);
    for (let block = 0; block < next.value.blocks; block++) work(block);
  }
}
