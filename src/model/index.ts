/** A forecaster: its description, its weights, and the registry that keeps its versions. */
export * from './calibration.ts';
export * from './description.ts';
export * from './import.ts';
export { type BareNetwork, readKeras } from './keras.ts';
export * from './model.ts';
export * from './model-file.ts';
export * from './onnx.ts';
export * from './registry.ts';
export * from './safetensors.ts';
export * from './weights.ts';
export * from './widening.ts';
