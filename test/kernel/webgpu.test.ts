/** The WebGPU kernel passes the suite of all kernels, on a software GPU. */
import { kernelConformance } from './conformance.ts';
import { offerTested } from './webgpu-support.ts';

// SwiftShader compiles the shaders of a shape for half a second.
kernelConformance('webgpu', () => offerTested(), { hidden: [1, 2, 31, 33] });
