/**
 * The software GPU of the tests: SwiftShader as Debian's chromium brings it, with Chromium's own Vulkan loader where
 * the system has none. A machine with a GPU takes BARCAST_TEST_GPU=1 to run the same tests on that.
 */
import { existsSync } from 'node:fs';
import koffi from 'koffi';
import { offerWebgpu, type WebgpuOptions } from '../../src/kernel/webgpu.ts';

const FOLDER = '/usr/lib/chromium';
const DRIVER = `${FOLDER}/vk_swiftshader_icd.json`;
const ownGpu = process.env.BARCAST_TEST_GPU === '1';

/** What a process must have in its environment from its start. */
export const swiftShader: Readonly<Record<string, string>> = ownGpu
  ? {}
  : { VK_ICD_FILENAMES: DRIVER, LD_LIBRARY_PATH: FOLDER };

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
