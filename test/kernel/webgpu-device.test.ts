/** The device behind the WebGPU kernel: none, lost, silent, full; and a process that ends when it is closed. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { NetworkShape } from '../../src/kernel/index.ts';
import { describeAdapter } from '../../src/kernel/index.ts';
import { findAdapter, reportAdapter } from '../../src/kernel/webgpu/adapters.ts';
import { type ChooseCut, possibleCuts, usualCut, workgroupBytes } from '../../src/kernel/webgpu/cut.ts';
import { openDevice, USAGE } from '../../src/kernel/webgpu/device.ts';
import { MatrixCache } from '../../src/kernel/webgpu/matrix-cache.ts';
import { chunkBytes, chunkSequences, planNetwork } from '../../src/kernel/webgpu/plan.ts';
import { type TimeCuts, Tuner } from '../../src/kernel/webgpu/tuner.ts';
import { exampleBatch, exampleWeights, exampleWindows, shapeOf, smallShape, usualShape } from './examples.ts';
import { adam, bitsOf, refuses } from './support.ts';
import { offerTested, swiftShader, takeTestGpu } from './webgpu-support.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

async function kernelOr(skip: (reason: string) => void, options: Parameters<typeof offerTested>[0] = {}) {
  const offered = await offerTested(options);
  if ('kernel' in offered) return offered.kernel;
  skip(`no kernel: ${offered.unavailable}`);
  return undefined;
}

/** Runs a module in a process of its own. */
const inProcess = (code: string, env: Record<string, string>) =>
  run(process.execPath, ['--input-type=module', '-e', code], {
    cwd: root,
    env: { ...process.env, VK_ICD_FILENAMES: '/nowhere.json', ...env },
    timeout: 20_000,
  });

describe('the device of the WebGPU kernel', () => {
  it('a lost device ends the call in flight and every later one in its code', async (t) => {
    const kernel = await kernelOr((reason) => t.skip(reason));
    if (!kernel) return;
    const network = await kernel.createNetwork(smallShape, exampleWeights(smallShape, 1));
    const batch = exampleBatch(smallShape, 40, 2);
    await network.trainStep(batch, adam);
    const flying = network.trainStep(batch, adam);
    kernel.loseDevice();
    await refuses('BARCAST_E_DEVICE', () => flying);
    await refuses('BARCAST_E_DEVICE', () => network.trainStep(batch, adam));
    await refuses('BARCAST_E_DEVICE', () => network.readWeights());
    await refuses('BARCAST_E_DEVICE', () => kernel.createNetwork(smallShape, exampleWeights(smallShape, 1)));
    network.close();
    kernel.close();
  });

  /** A shader that computes for a minute, on a device that is waited for a second. */
  const endless = `
    import { openDevice, USAGE } from './src/kernel/webgpu/device.ts';
    const { device } = await openDevice({ timeoutMs: 1000 });
    const { data } = await device.buffers({ data: 64 }, USAGE.storage | USAGE.copySource);
    const { out } = await device.buffers({ out: 64 }, USAGE.mapRead | USAGE.copyTarget);
    const pipeline = await device.pipeline('endless', \`
      @group(0) @binding(0) var<storage, read_write> data: array<u32>;
      @compute @workgroup_size(1) fn main() {
        var x = data[0] + 1u;
        for (var i = 0u; i < 4000000000u; i++) {
          x = x * 1664525u + 1013904223u;
          if (x == 7u) { data[1] = i; }
        }
        data[0] = x;
      }\`);
    const encoder = device.encoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.bindGroup(pipeline, [data]));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(data, 0, out, 0, 64);
    device.queue.submit([encoder.finish()]);
    try {
      await device.read(out, 64, 'computing');
      console.log('answered');
    } catch (error) {
      console.log(error.code);
    }
    try { device.queue; } catch (error) { console.log(error.code); }
    device.close();
    process.exit();`;

  it('a silent device is given up after the timeout, and does not hold up the end', async (t) => {
    const unavailable = takeTestGpu();
    if (unavailable !== undefined) return t.skip(unavailable);
    // Where the wait or the end hung, the time limit of inProcess would end it with an error.
    const { stdout } = await inProcess(endless, swiftShader);
    assert.equal(stdout, 'BARCAST_E_DEVICE\nBARCAST_E_DEVICE\n');
  });

  it('a buffer beyond its limits is refused before it is asked for', async (t) => {
    const unavailable = takeTestGpu();
    const opened = unavailable === undefined ? await openDevice() : { unavailable };
    if ('unavailable' in opened) return t.skip(`no device: ${opened.unavailable}`);
    const { device } = opened;
    await refuses('BARCAST_E_SHAPE', () => device.buffers({ matrix: device.limits.maxBufferSize + 4 }, USAGE.storage));
    const { one } = await device.buffers({ one: 64 }, USAGE.storage);
    assert.equal(one.size, 64);
    device.close();
  });

  it('a shader that the driver refuses leaves the device good', async (t) => {
    const unavailable = takeTestGpu();
    const opened = unavailable === undefined ? await openDevice() : { unavailable };
    if ('unavailable' in opened) return t.skip(`no device: ${opened.unavailable}`);
    const { device } = opened;
    const shader = (threads: number) => `@compute @workgroup_size(${threads}) fn main() {}`;
    await refuses('BARCAST_E_DEVICE', () => device.pipeline('too large', shader(65_536)));
    await device.pipeline('small', shader(1));
    device.close();
  });

  it('a full memory is an error with its code, and the device stays good', async (t) => {
    const unavailable = takeTestGpu();
    const opened = unavailable === undefined ? await openDevice() : { unavailable };
    if ('unavailable' in opened) return t.skip(`no device: ${opened.unavailable}`);
    const { device } = opened;
    try {
      if (!device.facts.software) return t.skip("this machine's own GPU is not filled");
      const fill = async () => {
        for (let count = 0; count < 16; count++)
          await device.buffers({ matrix: device.limits.maxBufferSize }, USAGE.storage);
      };
      await assert.rejects(fill, {
        code: 'BARCAST_E_DEVICE',
        message: /has no memory left for this network and batch$/,
      });
      const { one } = await device.buffers({ one: 64 }, USAGE.storage);
      assert.equal(one.size, 64);
    } finally {
      device.close();
    }
  });

  it('tells what it is', async (t) => {
    const unavailable = takeTestGpu();
    if (unavailable !== undefined) return t.skip(unavailable);
    const report = await reportAdapter();
    assert.ok('name' in report, JSON.stringify(report));
    assert.equal(report.software, report.name.includes('swiftshader'));
    assert.ok(report.limits.maxComputeWorkgroupStorageSize >= 16384);
    assert.match(describeAdapter(report).join('\n'), /workgroups of \d+ threads and \d+ KiB/);
    const missing = await reportAdapter('no such card');
    assert.ok('unavailable' in missing);
    assert.match(describeAdapter(missing).join('\n'), /^GPU: none \(.+\)$/m);
  });

  const use = `
    import { offerWebgpu } from './src/kernel/webgpu.ts';
    const offered = await offerWebgpu();
    if ('unavailable' in offered) console.log(offered.unavailable);
    else {
      const shape = { windowLength: 2, features: 1, lstm: [2], dropout: 0, dense: [{ units: 1, activation: 'linear' }] };
      const network = await offered.kernel.createNetwork(shape, new Float32Array(40).slice(0, 35).fill(0.1));
      const windows = { matrix: Float32Array.of(1, 2), starts: Int32Array.of(0), shift: Float32Array.of(0), gain: Float32Array.of(1), scaleStride: 0 };
      console.log((await network.forward(windows)).length);
      if (process.env.CLOSES === 'yes') { network.close(); offered.kernel.close(); }
    }`;

  for (const CLOSES of ['yes', 'no']) {
    it(`a process ends by itself, ${CLOSES === 'yes' ? 'closed' : 'even unclosed'}`, async (t) => {
      const unavailable = takeTestGpu();
      if (unavailable !== undefined) return t.skip(unavailable);
      const { stdout } = await inProcess(use, { ...swiftShader, CLOSES });
      assert.equal(stdout, '1\n');
    });
  }

  // The loader passes over what is no driver; the mock of Chromium is one whose limits are below WebGPU's.
  const drivers: Record<string, string> = {
    'that is not there': './nowhere.so',
    'that is no library': './driver.json',
    'that is no driver': 'libm.so.6',
    'too old for WebGPU': '/usr/lib/chromium/libVkICD_mock_icd.so',
  };
  for (const [what, library_path] of Object.entries(drivers)) {
    it(`a driver ${what} is a reason in one line, not a hang`, async (t) => {
      if (process.platform !== 'linux') return t.skip('Vulkan is what Linux has');
      const unavailable = takeTestGpu();
      if (unavailable !== undefined) return t.skip(unavailable);
      const manifest = join(mkdtempSync(join(tmpdir(), 'barcast-icd-')), 'driver.json');
      const ICD = { library_path, api_version: '1.1.0' };
      writeFileSync(manifest, JSON.stringify({ file_format_version: '1.0.0', ICD }));
      const { stdout } = await inProcess(use, { ...swiftShader, VK_ICD_FILENAMES: manifest });
      assert.match(stdout, /^no GPU adapter: .*driver is missing, broken, or too old.*\n$/);
    });
  }

  it('half precision is refused where the adapter has none', async (t) => {
    const unavailable = takeTestGpu();
    if (unavailable !== undefined) return t.skip(unavailable);
    const report = await reportAdapter();
    if ('unavailable' in report || report.features.includes('shader-f16')) return t.skip('this adapter has it');
    const offered = await offerTested({ half: true });
    assert.ok('unavailable' in offered);
    assert.match(offered.unavailable, /has no half precision \(shader-f16\)$/);
  });

  it('a machine without a Vulkan driver gets the reason, and nothing else is printed', async (t) => {
    if (process.platform !== 'linux') return t.skip('Vulkan is what Linux has');
    const { stdout, stderr } = await inProcess(use, { LD_LIBRARY_PATH: '/usr/lib/chromium' });
    assert.match(stdout, /no Vulkan driver|no Vulkan loader/);
    assert.equal(stdout.trim().split('\n').length, 1);
    assert.equal(stderr.replace(/.*ExperimentalWarning.*\n|.*--trace-warnings.*\n/g, ''), '');
  });
});

describe('the memory of the WebGPU kernel', () => {
  const limits = {
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupsPerDimension: 65535,
    maxStorageBufferBindingSize: 2 ** 27,
    maxStorageBuffersPerShaderStage: 8,
    maxBufferSize: 2 ** 28,
  };
  const largest: NetworkShape = shapeOf(512, 32, [256, 256, 256], [256, 256, 256, 256]);

  it('fits every shape into the least that WebGPU guarantees', () => {
    for (const shape of [largest, smallShape, usualShape, shapeOf(1, 1, [1], [1])]) {
      const plan = planNetwork(shape);
      for (const layer of plan.lstm) {
        for (const direction of ['forward', 'backward'] as const) {
          const cuts = possibleCuts(layer, direction, { limits, features: ['subgroups'] });
          assert.ok(cuts.length > 0, `${JSON.stringify(layer)} ${direction}`);
          for (const cut of cuts) {
            assert.ok(workgroupBytes(layer, direction, cut) <= 16384);
            assert.equal(32 % (cut.sequences * cut.groups), 0);
          }
        }
      }
    }
  });

  it('cuts a batch into chunks whose buffers the device takes', () => {
    const facts = { limits, software: false };
    for (const shape of [largest, usualShape]) {
      const plan = planNetwork(shape);
      for (const training of [true, false]) {
        const n = chunkSequences(plan, 1_000_000, training, facts);
        assert.equal(n % 32, 0);
        assert.ok(n >= 32);
        for (const [name, bytes] of Object.entries(chunkBytes(plan, n, training))) {
          assert.ok(bytes <= limits.maxStorageBufferBindingSize, `${name}: ${bytes} bytes for ${n} sequences`);
        }
      }
    }
    assert.equal(chunkSequences(planNetwork(usualShape), 33, true, facts), 64);
  });
});

describe('the tuner of the WebGPU kernel', () => {
  const file = () => join(mkdtempSync(join(tmpdir(), 'barcast-cuts-')), 'deep', 'cuts.json');

  it('keeps the fastest cut of each pass for the adapter, and forgets one that no longer fits', async (t) => {
    const unavailable = takeTestGpu();
    const found = unavailable === undefined ? await findAdapter() : { unavailable };
    if ('unavailable' in found) return t.skip(`no adapter: ${found.unavailable}`);
    const { facts } = found;
    const usual: ChooseCut = (layer, direction) => usualCut(layer, direction, facts);
    const path = file();
    const tuner = new Tuner(facts, usual, path);
    const [layer] = planNetwork(usualShape).lstm;
    const wanted = { forward: { sequences: 4, groups: 2 }, backward: { sequences: 8, groups: 1 } };
    const tried: string[] = [];
    const time: TimeCuts = (cutOf, direction) => {
      const cut = cutOf(layer, direction);
      tried.push(`${direction} ${JSON.stringify(cut)}`);
      const { sequences, groups } = wanted[direction];
      const fast = cut.sequences === sequences && cut.groups === groups && !cut.resident && cut.units === 1;
      // The fastest of all answers something else, as no cut may.
      return Promise.resolve({ taken: cut.shuffled ? 0 : fast ? 1 : 2, answer: cut.shuffled ? 'other' : 'same' });
    };
    assert.equal(await tuner.tune(usualShape, false, time), 2);
    assert.ok(tried.some((cut) => cut.includes('"shuffled":true')));
    assert.equal(new Set(tried).size, tried.length, 'each cut once');
    const rest = { units: 1, resident: false, shuffled: false };
    for (const known of [tuner, new Tuner(facts, usual, path)]) {
      assert.deepEqual(known.cutOf(layer, 'forward'), { ...wanted.forward, ...rest });
      assert.deepEqual(known.cutOf(layer, 'backward'), { ...wanted.backward, ...rest });
      assert.equal(await known.tune(usualShape, false, () => assert.fail('timed again')), 0);
    }
    const smaller = { ...facts, limits: { ...facts.limits, maxComputeInvocationsPerWorkgroup: 64 } };
    const other: ChooseCut = (own, direction) => usualCut(own, direction, smaller);
    assert.deepEqual(new Tuner(smaller, other, path).cutOf(layer, 'forward'), other(layer, 'forward'));
    writeFileSync(path, '{"half');
    assert.deepEqual(new Tuner(facts, usual, path).cutOf(layer, 'forward'), usual(layer, 'forward'));
  });

  it('times the real passes of a network, and the network answers as before', async (t) => {
    const shape = shapeOf(3, 3, [3], [1]);
    const weights = exampleWeights(shape, 1);
    const batch = exampleBatch(shape, 40, 2);
    const answers = [];
    const path = file();
    for (const options of [{}, { tune: true, tuningFile: path }]) {
      const kernel = await kernelOr((reason) => t.skip(reason), options);
      if (!kernel) return;
      const network = await kernel.createNetwork(shape, weights);
      answers.push(await network.gradient(batch));
      network.close();
      kernel.close();
    }
    assert.deepEqual(answers[1], answers[0]);
    const [cuts] = Object.values(JSON.parse(readFileSync(path, 'utf8')) as Record<string, object>);
    assert.deepEqual(Object.keys(cuts).sort(), ['3-3 backward', '3-3 forward']);
  });
});

describe('the feature matrix on the device', () => {
  it('is uploaded again when it is another, or when what the windows see has changed', () => {
    const cache = new MatrixCache();
    const windows = exampleWindows(smallShape, 9, 1);
    const { windowLength, features } = smallShape;
    const changed = (over = {}, columns = features) => cache.changed({ ...windows, ...over }, windowLength, columns);
    assert.equal(changed(), true);
    assert.equal(changed(), false);
    assert.equal(changed({ matrix: windows.matrix.slice() }), true);
    assert.equal(changed(), true);
    windows.matrix[windows.starts[4] * features + 5] += 1;
    assert.equal(changed(), true);
    assert.equal(changed(), false);
    // The same numbers as rows of two features: only the last of the window's 14 has changed.
    const one = { starts: Int32Array.of(windows.starts[4]) };
    assert.equal(changed(one, 2), false);
    windows.matrix[windows.starts[4] * 2 + 13] += 1;
    assert.equal(changed(one, 2), true);
    assert.equal(changed(one, 2), false);
    windows.matrix[windows.starts[4] * 2 + 14] += 1;
    assert.equal(changed(one, 2), false);
    cache.forget();
    assert.equal(changed(), true);
  });

  it('answers for what the matrix holds now', async (t) => {
    const kernel = await kernelOr((reason) => t.skip(reason));
    if (!kernel) return;
    const network = await kernel.createNetwork(smallShape, exampleWeights(smallShape, 1));
    const windows = exampleWindows(smallShape, 9, 1);
    const before = await network.forward(windows);
    windows.matrix.set(windows.matrix.map((x) => x + 0.5));
    const after = await network.forward(windows);
    assert.notDeepEqual(bitsOf(after), bitsOf(before));
    assert.deepEqual(bitsOf(await network.forward({ ...windows, matrix: windows.matrix.slice() })), bitsOf(after));
    network.close();
    kernel.close();
  });
});
