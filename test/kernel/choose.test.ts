/** Which kernel is chosen, and what is said when it is not the best. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BarcastError } from '../../src/base/index.ts';
import { chooseKernelFrom, type KernelOffers } from '../../src/kernel/choose.ts';
import { chooseKernel, type Kernel, type KernelNetwork, referenceKernel } from '../../src/kernel/index.ts';

const native = (threads: number): Kernel => ({ ...referenceKernel(), name: 'native', threads });

const offers: KernelOffers = {
  reference: () => ({ kernel: referenceKernel() }),
  native: (threads = 2) => ({ kernel: native(threads) }),
  webgpu: () => ({ unavailable: 'no adapter' }),
  'webgpu-f16': () => ({ unavailable: 'no adapter' }),
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

  describe('with a GPU', () => {
    const gpu = (over: Partial<Kernel> = {}): Kernel => ({
      ...referenceKernel(),
      name: 'webgpu',
      description: 'some GPU',
      ...over,
    });
    /** The reference with some calls of its networks changed. */
    const altered =
      (change: (network: KernelNetwork) => Partial<KernelNetwork>): Kernel['createNetwork'] =>
      async (shape, weights) => {
        const network = await referenceKernel().createNetwork(shape, weights);
        const changes = change(network);
        return {
          ...network,
          forward: (windows) => network.forward(windows),
          gradient: (batch) => network.gradient(batch),
          close: () => network.close(),
          ...changes,
        } as KernelNetwork;
      };
    const broken = altered((network) => ({
      forward: async (windows) => (await network.forward(windows)).map((output) => output * 1.001),
    }));
    /** Answers the batch that is timed, which is large, after so long; others as the reference does. */
    const lasting = (milliseconds: number) =>
      altered((network) => ({
        gradient: async (batch) => {
          if (batch.starts.length < 1000) return await network.gradient(batch);
          await new Promise((resolve) => setTimeout(resolve, milliseconds));
          return { sums: new BigInt64Array(), sequences: 0 };
        },
      }));
    const choose = async (over: Partial<KernelOffers>) => {
      const said: string[] = [];
      const kernel = await chooseKernelFrom({ ...offers, ...over }, { kernel: 'auto', say: (line) => said.push(line) });
      return { name: kernel.name, said };
    };

    it('auto takes the one that is right and faster, and says the rates', async () => {
      const { name, said } = await choose({
        webgpu: () => ({ kernel: gpu({ createNetwork: lasting(1) }) }),
        native: () => ({ kernel: { ...native(1), createNetwork: lasting(60) } }),
      });
      assert.equal(name, 'webgpu');
      assert.match(said.join(), /Using some GPU: .* against .* sequences/);
    });

    it('auto leaves a slower one, and says the rates', async () => {
      const { name, said } = await choose({
        webgpu: () => ({ kernel: gpu({ createNetwork: lasting(60) }) }),
        native: () => ({ kernel: { ...native(1), createNetwork: lasting(1) } }),
      });
      assert.equal(name, 'native');
      assert.match(said.join(), /Not using some GPU/);
    });

    it('auto leaves one that answers wrongly, and says so', async () => {
      const { name, said } = await choose({ webgpu: () => ({ kernel: gpu({ createNetwork: broken }) }) });
      assert.equal(name, 'native');
      assert.match(said.join(), /Not using some GPU: its outputs are off by/);
    });

    it('auto never takes one in software, and tries nothing on it', async () => {
      const createNetwork = () => assert.fail('it was tried');
      const { name, said } = await choose({ webgpu: () => ({ kernel: gpu({ software: true, createNetwork }) }) });
      assert.equal(name, 'native');
      assert.deepEqual(said, []);
    });

    it('auto takes a GPU where there is no native kernel', async () => {
      const { name, said } = await choose({
        webgpu: () => ({ kernel: gpu() }),
        native: () => ({ unavailable: 'no compiler' }),
      });
      assert.equal(name, 'webgpu');
      assert.match(said.join(), /Using some GPU/);
    });
  });

  it('auto always finds one', async () => {
    const kernel = await chooseKernel({ kernel: 'auto' });
    assert.ok(['native', 'webgpu', 'reference'].includes(kernel.name));
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
