/** What a call's flags on the device mean: `FLAGS` as errors. */
import { BarcastError } from '../../base/index.ts';
import type { NetworkShape, Windows } from '../kernel.ts';
import { checkInputsFinite } from '../validate.ts';
import { FLAGS } from './shaders-common.ts';

/** @throws BARCAST_E_NOT_FINITE, BARCAST_E_DIVERGED */
export function checkFlags(flags: Uint32Array, shape: NetworkShape, windows?: Windows): void {
  if (flags[FLAGS.input] !== 0 && windows) {
    checkInputsFinite(shape, windows);
    throw new BarcastError(
      'BARCAST_E_NOT_FINITE',
      'a window holds a number that is not finite',
      'give windows of finite numbers only',
    );
  }
  const what =
    flags[FLAGS.overflow] !== 0
      ? 'a gradient leaves half precision, however small its loss scale'
      : flags[FLAGS.diverged] !== 0
        ? 'a gradient or loss, summed over a tile or the batch, is not finite or beyond what its fixed point holds'
        : flags[FLAGS.update] !== 0
          ? 'an update made a weight that is not finite, or beyond half precision where that is asked for'
          : undefined;
  if (what !== undefined)
    throw new BarcastError(
      'BARCAST_E_DIVERGED',
      what,
      'lower the learning rate, scale the targets, or clip the gradient',
    );
}
