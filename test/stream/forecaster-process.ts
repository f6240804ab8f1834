/** A forecaster as a process of its own, to be killed: `forecaster-process.ts URL SYMBOLS MINUTES [WEIGHTS]`. */
import { fixedModel, natsBus, startSharedForecaster } from '../../src/stream/index.ts';
import { madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';

const [url, symbols, minutes, weightsHash] = process.argv.slice(2);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const model = sensitiveModel(scalerOf(madeUpMinutes(Number(symbols), Number(minutes))), weightsHash);
const bus = await natsBus({ url });
const running = await startSharedForecaster({
  bus,
  models: fixedModel(model),
  group: 'test',
  signal: stop.signal,
  tell: ({ forecasts }) => process.stdout.write(`${forecasts.length}\n`),
});
process.stdout.write('ready\n');
await running.done;
await bus.close();
