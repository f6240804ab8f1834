/** `barcast import-keras` and `barcast export`: the doors to other tools. */
import { Option } from 'commander';
import { BarcastError, writeFileAtomic } from '../base/index.ts';
import { parameterCount } from '../kernel/index.ts';
import { describeBareNetwork, encodeModelFile, encodeOnnx, Registry, readKeras } from '../model/index.ts';
import { action, command, type Register } from './context.ts';

const importKeras = command('import-keras', 'bring a Keras model (.h5, .keras) into the registry')
  .argument('<file>', 'a model saved by Keras 2 or 3')
  .addOption(new Option('--name <name>', "name in the registry (default: the file's)"));

action<{ name?: string }>(importKeras, async ({ models }, { name }, [file]) => {
  const network = await readKeras(file);
  const description = describeBareNetwork({ ...network, ...(name === undefined ? {} : { name }) });
  const registry = new Registry(models);
  registry.save(description, network.weights);
  registry.promote(description.name, description.version);
  const { shape, version, weightsHash } = description;
  const parameters = parameterCount(shape);
  return {
    json: { model: description.name, version, shape, parameters, weightsHash },
    text: `model ${description.name}@${version}: ${shape.lstm.length} LSTM layer${shape.lstm.length === 1 ? '' : 's'}, windows of ${shape.windowLength} x ${shape.features}, ${parameters.toLocaleString('en-US')} parameters`,
  };
});

const exporting = command('export', 'write a model as one file for other tools')
  .argument('<model>', 'NAME, NAME@VERSION or a folder')
  .addOption(new Option('--onnx <file>', 'as ONNX, for onnxruntime'))
  .addOption(new Option('--safetensors <file>', 'as safetensors with its description inside'));

action<{ onnx?: string; safetensors?: string }>(exporting, async ({ models }, { onnx, safetensors }, [reference]) => {
  if (onnx === undefined && safetensors === undefined) {
    throw new BarcastError('BARCAST_E_USAGE', 'no format was named', 'give --onnx FILE or --safetensors FILE');
  }
  const { description, weights } = new Registry(models).read(reference);
  const files: { file: string; format: string; bytes: number }[] = [];
  const write = (format: string, file: string | undefined, encode: () => Uint8Array) => {
    if (file === undefined) return;
    const bytes = encode();
    writeFileAtomic(file, bytes);
    files.push({ file, format, bytes: bytes.length });
  };
  write('onnx', onnx, () => encodeOnnx({ shape: description.shape, weights, description }));
  write('safetensors', safetensors, () => encodeModelFile(description, weights));
  const { name, version, weightsHash } = description;
  const text = files
    .map(({ file, format, bytes }) => `${file}: ${format}, ${bytes.toLocaleString('en-US')} bytes`)
    .join('\n');
  return { json: { model: name, version, weightsHash, files }, text };
});

export const registerImportKeras: Register = (program) => program.addCommand(importKeras);
export const registerExport: Register = (program) => program.addCommand(exporting);
