/** Which kernel is chosen, and what is said when it is not the best. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BarcastError } from '../../src/base/index.ts';
import { chooseKernelFrom, type KernelOffers } from '../../src/kernel/choose.ts';
import { chooseKernel, type Kernel, referenceKernel } from '../../src/kernel/index.ts';

const native = (threads: number): Kernel => ({ ...referenceKernel(), name: 'native', threads });

const offers: KernelOffers = {
  reference: () => ({ kernel: referenceKernel() }),
  native: (threads = 2) => ({ kernel: native(threads) }),
  webgpu: () => ({ unavailable: 'no adapter' }),
};

describe('choosing a kernel', () => {
  it('auto takes the native one and says nothing', async () => {
    const said: string[] = [];
    const kernel = await chooseKernelFrom(offers, { kernel: 'auto', threads: 3, say: (line) => said.push(line) });
    assert.equal(kernel.name, 'native');
    assert.equal(kernel.threads, 3);
    assert.deepEqual(said, []);
  });

  const failures: Record<string, KernelOffers['native']> = {
    'is unavailable': () => ({ unavailable: 'no compiler' }),
    'fails to load': () => Promise.reject(new Error('no compiler')),
  };
  for (const [title, offer] of Object.entries(failures)) {
    it(`auto falls back to the reference with one line when the native one ${title}`, async () => {
      const said: string[] = [];
      const kernel = await chooseKernelFrom(
        { ...offers, native: offer },
        { kernel: 'auto', say: (line) => said.push(line) },
      );
      assert.equal(kernel.name, 'reference');
      assert.equal(said.length, 1);
      assert.match(said[0], /no compiler.*reference/);
    });

    it(`a native kernel asked for by name that ${title} is an error with the reason`, async () => {
      await assert.rejects(
        chooseKernelFrom({ ...offers, native: offer }, { kernel: 'native' }),
        (error: BarcastError) => {
          assert.equal(error.code, 'BARCAST_E_KERNEL_UNAVAILABLE');
          assert.match(error.line, /no compiler/);
          return true;
        },
      );
    });
  }

  it('an error of the user stays what it is', async () => {
    const refused = new BarcastError('BARCAST_E_USAGE', 'too many threads', 'give fewer');
    const from = { ...offers, native: () => Promise.reject(refused) };
    await assert.rejects(chooseKernelFrom(from, { kernel: 'auto' }), refused);
  });

  it('the reference is there by name', async () => {
    const kernel = await chooseKernel({ kernel: 'reference', threads: 4 });
    assert.equal(kernel.name, 'reference');
    assert.equal(kernel.threads, 1);
    kernel.close();
  });

  it('webgpu is not there in this version, and says so', async () => {
    await assert.rejects(chooseKernel({ kernel: 'webgpu' }), {
      code: 'BARCAST_E_KERNEL_UNAVAILABLE',
      message: /WebGPU/,
    });
  });

  it('auto always finds one', async () => {
    const kernel = await chooseKernel({ kernel: 'auto' });
    assert.ok(kernel.name === 'native' || kernel.name === 'reference');
    kernel.close();
  });

  it('refuses names and thread counts that mean nothing', async () => {
    for (const kernel of ['cuda', 'toString'] as unknown as 'auto'[]) {
      await assert.rejects(chooseKernel({ kernel }), { code: 'BARCAST_E_USAGE' });
    }
    for (const threads of [0, 1.5, Number.NaN]) {
      await assert.rejects(chooseKernel({ kernel: 'reference', threads }), { code: 'BARCAST_E_USAGE' });
    }
  });
});
