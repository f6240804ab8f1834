/** The native kernel's own sigmoid and tanh against float64, over float32 bit patterns spread evenly. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildFolder, loadNative } from '../../src/kernel/native-library.ts';
import { instructionSetsHere } from './native-support.ts';

/** Every 16001st bit pattern that is a finite number. */
function spreadNumbers(): Float32Array {
  const bits = Uint32Array.from({ length: Math.floor(2 ** 32 / 16001) }, (_, i) => i * 16001);
  return new Float32Array(bits.buffer).filter(Number.isFinite);
}

/** Distance between neighbouring float32 numbers at x, which is normal. */
const ulp = (x: number) => 2 ** (Math.floor(Math.log2(Math.abs(x))) - 23);

const SMALLEST_NORMAL = 2 ** -126;

const functions = [
  { index: 0, name: 'sigmoid', exact: (x: number) => 1 / (1 + Math.exp(-x)), least: -87, ulps: 5 },
  { index: 1, name: 'tanh', exact: Math.tanh, least: -Infinity, ulps: 6 },
  { index: 2, name: 'sigmoid beside tanh', exact: (x: number) => 1 / (1 + Math.exp(-x)), least: -80, ulps: 5 },
];

for (const set of instructionSetsHere()) {
  describe(`native functions (${set})`, () => {
    for (const { index, name, exact, least, ulps } of functions) {
      it(`${name} is within ${ulps} ulp`, (t) => {
        const library = loadNative(buildFolder(), set);
        if ('unavailable' in library) return t.skip(library.unavailable);
        const input = spreadNumbers();
        const output = new Float32Array(input.length);
        library.apply(index, input, output, input.length);
        let worst = 0;
        for (let i = 0; i < input.length; i++) {
          const expected = exact(input[i]);
          if (Math.abs(expected) < SMALLEST_NORMAL || input[i] < least) {
            const held = Math.max(2 * SMALLEST_NORMAL, 1.01 * exact(least));
            assert.ok(Math.abs(output[i] - expected) < held, `${name}(${input[i]}) is ${output[i]}`);
          } else {
            worst = Math.max(worst, Math.abs(output[i] - expected) / ulp(expected));
          }
        }
        t.diagnostic(`largest error ${worst.toFixed(2)} ulp over ${input.length} numbers`);
        assert.ok(worst <= ulps, `${worst} ulp`);
      });
      it(`${name} of NaN is NaN`, (t) => {
        const library = loadNative(buildFolder(), set);
        if ('unavailable' in library) return t.skip(library.unavailable);
        const output = new Float32Array(3);
        library.apply(index, Float32Array.of(0, Number.NaN, 1), output, 3);
        assert.ok(Number.isNaN(output[1]));
        assert.ok(output[0] === exact(0) && output[2] > 0);
      });
    }
  });
}
