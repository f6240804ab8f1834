/** Runs planned steps on a device: compiled once a device, bound once to a network's buffers. */
import type { Device } from './device.ts';
import type { Memory } from './memory.ts';
import type { Step } from './steps.ts';

/** Compiled shaders of a device: networks of one shape share them. */
export class Pipelines {
  readonly #device: Device;
  readonly #made = new Map<string, Promise<GPUComputePipeline>>();

  constructor(device: Device) {
    this.#device = device;
  }

  get({ label, code }: Step): Promise<GPUComputePipeline> {
    let made = this.#made.get(code);
    if (made === undefined) {
      made = this.#device.pipeline(label, code);
      this.#made.set(code, made);
    }
    return made;
  }
}

interface Bound {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly step: Step;
}

export class Runner {
  readonly #device: Device;
  readonly #pipelines: Pipelines;
  readonly #memory: Memory;
  readonly #plans = new Map<string, readonly Step[]>();
  readonly #bound = new Map<Step, Bound>();
  /** Of the memory, when steps were bound. */
  #generation = -1;

  constructor(device: Device, pipelines: Pipelines, memory: Memory) {
    this.#device = device;
    this.#pipelines = pipelines;
    this.#memory = memory;
  }

  /** The steps of that name, made at their first use. */
  stepsOf(name: string, make: () => Step[]): readonly Step[] {
    let steps = this.#plans.get(name);
    if (steps === undefined) {
      steps = make();
      this.#plans.set(name, steps);
    }
    return steps;
  }

  /** Asks for the steps one after another, without a wait for their end. @param n sequences there is room for */
  async run(steps: readonly Step[], n: number): Promise<void> {
    if (this.#generation !== this.#memory.generation) {
      this.#bound.clear();
      this.#generation = this.#memory.generation;
    }
    const bound = await Promise.all(steps.map((step) => this.#bound.get(step) ?? this.#bind(step)));
    const encoder = this.#device.encoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, step } of bound) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...step.grid(n));
    }
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  close(): void {
    this.#bound.clear();
  }

  async #bind(step: Step): Promise<Bound> {
    const pipeline = await this.#pipelines.get(step);
    const group = this.#device.bindGroup(
      pipeline,
      step.buffers.map((name) => this.#memory.buffer(name)),
    );
    const bound = { pipeline, group, step };
    this.#bound.set(step, bound);
    return bound;
  }
}
