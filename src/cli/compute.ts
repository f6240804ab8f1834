/** The options that say what computes, and how they become a kernel. */
import { type Command, Option } from 'commander';
import { chooseKernel, type Kernel, type KernelName } from '../kernel/index.ts';
import { type Model, Registry } from '../model/index.ts';
import { type Context, wholeNumber } from './context.ts';

export interface ComputeOptions {
  readonly kernel: KernelName | 'auto';
  readonly workers?: number;
}

export const withCompute = (target: Command): Command =>
  target
    .addOption(
      new Option('--kernel <kernel>', 'what computes')
        .choices(['auto', 'native', 'webgpu', 'webgpu-f16', 'reference'])
        .default('auto'),
    )
    .addOption(new Option('--workers <n>', 'worker threads (default: one a core)').argParser(wholeNumber(1, 256)));

/** Runs work with the kernel the options ask for, and closes it. @throws BARCAST_E_KERNEL_UNAVAILABLE */
export async function withKernel<T>(
  { kernel, workers }: ComputeOptions,
  { progress }: Context,
  work: (kernel: Kernel) => Promise<T>,
): Promise<T> {
  const chosen = await chooseKernel({ kernel, threads: workers, say: (line) => progress.say(line) });
  try {
    return await work(chosen);
  } finally {
    chosen.close();
  }
}

/** The same with a model of the registry. @throws BARCAST_E_MODEL_MISSING, BARCAST_E_MODEL_FORMAT */
export function withModel<T>(
  reference: string,
  options: ComputeOptions,
  context: Context,
  work: (model: Model) => Promise<T>,
): Promise<T> {
  return withKernel(options, context, async (kernel) => {
    const model = await new Registry(context.models).load(reference, kernel);
    try {
      return await work(model);
    } finally {
      model.close();
    }
  });
}
