/**
 * The software GPUs of the tests: SwiftShader as Debian's chromium brings it, with Chromium's own Vulkan loader where
 * the system has none; and Lavapipe, which has half precision, as scripts/lavapipe.mjs brings it. A process has one of
 * them. A machine with a GPU takes BARCAST_TEST_GPU=1 to run the same tests on that.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { offerWebgpu, type WebgpuOptions } from '../../src/kernel/webgpu.ts';

const FOLDER = '/usr/lib/chromium';
const DRIVER = `${FOLDER}/vk_swiftshader_icd.json`;
const ownGpu = process.env.BARCAST_TEST_GPU === '1';

/** What a process must have in its environment from its start. */
export const swiftShader: Readonly<Record<string, string>> = ownGpu
  ? {}
  : { VK_ICD_FILENAMES: DRIVER, LD_LIBRARY_PATH: FOLDER };

const LAVAPIPE = fileURLToPath(new URL('../../build/lavapipe', import.meta.url));

/** {@link swiftShader}'s other. Its compiler takes minutes to optimise what runs for milliseconds. */
export const lavapipe: Readonly<Record<string, string>> = ownGpu
  ? {}
  : {
      VK_ICD_FILENAMES: `${LAVAPIPE}/lvp_icd.json`,
      LD_LIBRARY_PATH: FOLDER,
      GALLIVM_PERF: 'nopt',
      MESA_SHADER_CACHE_DIR: `${LAVAPIPE}/cache`,
    };

/** Makes Lavapipe the GPU that this process finds. Answers why it cannot. */
export function takeLavapipe(): string | undefined {
  if (ownGpu) return undefined;
  for (const file of [lavapipe.VK_ICD_FILENAMES, `${FOLDER}/libvulkan.so.1`]) {
    if (!existsSync(file)) return `${file} is missing: run 'node scripts/lavapipe.mjs', install Debian's chromium`;
  }
  Object.assign(process.env, lavapipe);
  koffi.load(`${FOLDER}/libvulkan.so.1`);
  return undefined;
}

/** The kernel on Lavapipe, or why there is none. */
export async function offerLavapipe(options: WebgpuOptions = {}) {
  const unavailable = takeLavapipe();
  return unavailable === undefined ? await offerWebgpu(options) : { unavailable };
}

/** Makes the software GPU the one that this process finds. Answers why it cannot. */
export function takeTestGpu(): string | undefined {
  if (ownGpu) return undefined;
  if (!existsSync(DRIVER)) return `${DRIVER} is missing: install Debian's package chromium`;
  process.env.VK_ICD_FILENAMES = DRIVER;
  // Dawn asks for the loader by name alone, which then finds this one.
  koffi.load(`${FOLDER}/libvulkan.so.1`);
  return undefined;
}

/** The kernel on the software GPU, or why there is none. */
export async function offerTested(options: WebgpuOptions = {}) {
  const unavailable = takeTestGpu();
  return unavailable === undefined ? await offerWebgpu(options) : { unavailable };
}
