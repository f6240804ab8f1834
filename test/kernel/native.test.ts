/** The native kernel passes the suite of all kernels, in every build that this machine runs and on one and two threads. */
import { referenceKernel } from '../../src/kernel/index.ts';
import { offerNative } from '../../src/kernel/native.ts';
import { kernelConformance, kernelsGiveSameBits } from './conformance.ts';
import { exampleBatch, shapeOf } from './examples.ts';
import { instructionSetsHere } from './native-support.ts';
import { assertClose, describeKernel, withNetwork } from './support.ts';

for (const instructionSet of instructionSetsHere()) {
  for (const threads of [1, 2]) {
    kernelConformance(`native (${instructionSet}, ${threads} threads)`, () => offerNative({ threads, instructionSet }));
  }
  kernelsGiveSameBits(
    `native (${instructionSet}): 1, 2 and 3 threads give the same bits`,
    [1, 2, 3].map((threads) => () => offerNative({ threads, instructionSet })),
  );

  describeKernel(
    `native (${instructionSet}): inner dimensions cut into blocks`,
    () => offerNative({ instructionSet }),
    (test) => {
      test('agree with the reference', async (kernel) => {
        const shape = shapeOf(3, 30, [150, 256, 9], [2], 0.1);
        const batch = exampleBatch(shape, 39, 800);
        const [actual, expected] = await Promise.all(
          [kernel, referenceKernel()].map((each) =>
            withNetwork(each, shape, 801, async (network) => ({
              outputs: await network.forward(batch),
              sums: Array.from((await network.gradient(batch)).sums, Number),
            })),
          ),
        );
        assertClose(actual.outputs, expected.outputs, 1e-5, 'output');
        assertClose(actual.sums, expected.sums, 1e-5, 'sum');
      });
    },
  );
}
