/** The mathematics: one `Kernel` interface and what stands behind it. */
export { chooseKernel, type KernelRequest } from './choose.ts';
export * from './dropout.ts';
export * from './kernel.ts';
export { meanLoss } from './loss.ts';
export * from './parameters.ts';
export { measureFmaPeak } from './peak.ts';
export { referenceKernel } from './reference.ts';
export { type AdapterReport, describeAdapter, reportAdapter } from './webgpu/adapters.ts';
export { type DeviceWork, deviceWork } from './webgpu/work.ts';
