/**
 * `barcast demo` (`npm start`): the whole pipeline without internet. A simulated exchange that speaks Yahoo's chart
 * API, its bars through the ordinary ingest, a training, an evaluation on days the model has not seen, and live
 * forecasts in the page. A later start reuses the bars and the model that are there.
 */
import { join } from 'node:path';
import { Option } from 'commander';
import { dayOf, type Session, SP500, sessionsBetween } from '../bars/index.ts';
import { type DayString, epochMinute, epochMs, minuteToMs, msToMinute } from '../base/index.ts';
import { evaluateModel, renderScores } from '../evaluate/index.ts';
import { recipeOf } from '../features/index.ts';
import type { Kernel } from '../kernel/index.ts';
import { type Model, Registry } from '../model/index.ts';
import { ingestHistory, type SimulatedSource, simulatedSource } from '../sources/index.ts';
import { openReader } from '../store/index.ts';
import { fixedModel } from '../stream/index.ts';
import { trainModel } from '../train/index.ts';
import { type ComputeOptions, withCompute, withKernel } from './compute.ts';
import { action, type Context, command, positiveNumber, type Register, wholeNumber } from './context.ts';
import { requireFreePort, serveLive } from './live-server.ts';
import { barcastVersion } from './version.ts';

interface DemoCommand extends ComputeOptions {
  readonly port: number;
  readonly speed: number;
}

const NAME = 'demo';
const SEED = 1;
const HOST = '127.0.0.1';
/** Every tenth of the S&P 500, and the index itself. */
const SYMBOLS = ['SPY', ...SP500.filter((_, i) => i % 10 === 0)];
/** Sessions to train on, to test on, and to serve live from. */
const TRAINING_SESSIONS = 8;
/** The plain JavaScript kernel is a fortieth as fast: it trains on fewer, to stay within minutes. */
const TRAINING_SESSIONS_WITHOUT_NATIVE = 3;
const TEST_SESSIONS = 2;
/** The live session starts this many minutes after its open, so that windows are warm at once. */
const HEAD_START_MINUTES = 75;

const demo = withCompute(command('demo', 'the whole pipeline on a simulated market, offline (npm start)'))
  .addOption(
    new Option('--port <port>', 'port of the page; 0 takes a free one')
      .env('BARCAST_PORT')
      .argParser(wholeNumber(0, 65_535))
      .default(8080),
  )
  .addOption(
    new Option('--speed <x>', 'market minutes a real minute once it is live').argParser(positiveNumber).default(20),
  );

interface Plan {
  readonly training: readonly Session[];
  readonly test: readonly Session[];
  readonly live: Session;
}

/** The last sessions that have begun: the newest is the live one. */
function plan(trainingSessions: number, now = Date.now()): Plan {
  const day = (offset: number): DayString => dayOf(msToMinute(epochMs(now - offset * 86_400_000)));
  const begun = sessionsBetween(day(40), day(0)).filter(({ close }) => minuteToMs(close) <= now);
  const recent = begun.slice(-(trainingSessions + TEST_SESSIONS + 1));
  return {
    training: recent.slice(0, trainingSessions),
    test: recent.slice(trainingSessions, -1),
    live: recent[recent.length - 1],
  };
}

/** The folders of the demo, beside and apart from a user's own bars and models. */
const demoData = ({ data }: Context) => join(data, 'demo');

async function bringBars(context: Context, exchange: SimulatedSource, sessions: Plan): Promise<void> {
  const answer = await ingestHistory({
    source: exchange,
    symbols: SYMBOLS,
    from: sessions.training[0].open,
    to: msToMinute(exchange.clock.now()),
    data: demoData(context),
    progress: context.progress,
    signal: context.takeSignal(),
  });
  context.progress.say(
    `    ${answer.rowsStored.toLocaleString('en-US')} bars stored in ${answer.seconds.toFixed(1)} s, ${answer.daysHeld.toLocaleString('en-US')} symbol days were there already`,
  );
}

/** The model of this demo: one that fits these days, or a new training. */
async function trainedModel(context: Context, kernel: Kernel, sessions: Plan): Promise<Model> {
  const registry = new Registry(context.models);
  const last = sessions.training[sessions.training.length - 1];
  if (registry.list().some(({ name, current }) => name === NAME && current !== null)) {
    const model = await registry.load(NAME, kernel);
    const fittedTo = Date.parse(model.description.provenance?.to ?? '');
    if (fittedTo <= minuteToMs(last.close)) {
      context.progress.say(`3/5 training: model ${NAME}@${model.version} is there already`);
      return model;
    }
    model.close();
  }
  context.progress.say('3/5 training: recipe returns, an LSTM of 32 units');
  const reader = await openReader(demoData(context));
  const bars = await reader.read({ symbols: SYMBOLS, from: sessions.training[0].open, to: last.close });
  reader.close();
  const answer = await trainModel({
    bars,
    recipe: recipeOf('returns'),
    kernel,
    registry,
    name: NAME,
    seed: SEED,
    overrides: kernel.name === 'reference' ? { epochs: 1, batch: 64 } : { epochs: 3 },
    version: barcastVersion,
    progress: context.progress,
    signal: context.takeSignal(),
  });
  context.progress.say(
    `    ${answer.sequencesPerSecond.toLocaleString('en-US')} sequences/s on the ${answer.kernel} kernel, weights ${answer.weightsHash.slice(0, 12)}`,
  );
  return registry.load(NAME, kernel);
}

async function evaluateOn(context: Context, exchange: SimulatedSource, model: Model, sessions: Plan): Promise<void> {
  context.progress.say('4/5 evaluation on sessions the model has not seen');
  const reader = await openReader(demoData(context));
  try {
    const [training, test] = [sessions.training, sessions.test].map((part) => ({
      symbols: SYMBOLS,
      from: part[0].open,
      to: part[part.length - 1].close,
    }));
    const evaluation = await evaluateModel({
      model,
      bars: await reader.read(test),
      trainingBars: await reader.read(training),
    });
    for (const line of renderScores(evaluation).split('\n')) context.progress.say(line && `    ${line}`);
    const best = exchange.exchange?.market.bestReachable(test);
    const { skillScaled } = evaluation.model;
    if (best?.skillScaled && skillScaled !== null) {
      context.progress.say(
        `    the best scaled skill that any forecaster could reach on this market is ${(100 * best.skillScaled).toFixed(1)}%: the model has ${Math.round((100 * skillScaled) / best.skillScaled)}% of it`,
      );
    }
  } finally {
    reader.close();
  }
}

/** The five steps, with an exchange that lives as long as they do. */
async function run(context: Context, options: DemoCommand, kernel: Kernel): Promise<void> {
  const { progress } = context;
  const sessions = plan(kernel.name === 'reference' ? TRAINING_SESSIONS_WITHOUT_NATIVE : TRAINING_SESSIONS);
  const now = minuteToMs(epochMinute(sessions.live.open + HEAD_START_MINUTES));
  progress.say("1/5 exchange: a simulated market behind Yahoo's chart API");
  const { speed } = options;
  const exchange = await simulatedSource({ seed: SEED, symbols: SYMBOLS, port: 0, now, speed, skipClosed: true });
  try {
    const past = sessions.training.length + sessions.test.length;
    const what = `${SYMBOLS.length} symbols, ${past} sessions and the live one so far`;
    progress.say(`2/5 bars: ${what}, through the Yahoo path`);
    await bringBars(context, exchange, sessions);
    const model = await trainedModel(context, kernel, sessions);
    try {
      await evaluateOn(context, exchange, model, sessions);
      // The market went on while the model was trained: what is missing of the session comes first.
      await bringBars(context, exchange, sessions);
      await serve(context, options, exchange, model);
    } finally {
      model.close();
    }
  } finally {
    await exchange.close();
  }
}

async function serve(
  context: Context,
  { port, speed }: DemoCommand,
  source: SimulatedSource,
  model: Model,
): Promise<void> {
  const { progress, json, print } = context;
  const reader = await openReader(demoData(context));
  try {
    await serveLive({
      models: fixedModel(model),
      active: model,
      source,
      symbols: SYMBOLS,
      warmUp: { reader },
      host: HOST,
      port,
      signal: context.takeSignal(),
      notice: (line) => progress.say(line),
      onListening: (url) => {
        progress.say(`5/5 live: a market minute every ${(60 / speed).toFixed(1)} s`);
        const { name, weightsHash } = model;
        if (json)
          process.stdout.write(`${JSON.stringify({ url, model: name, weightsHash, symbols: SYMBOLS.length })}\n`);
        print(`\nopen ${url} (forecasts at ${url}/api/v1/predictions); Ctrl-C stops it`);
      },
    });
  } finally {
    reader.close();
  }
}

action<DemoCommand>(demo, async (context, options) => {
  // Told now, not after the training.
  await requireFreePort(HOST, options.port);
  await withKernel(options, context, (kernel) => run(context, options, kernel));
  return undefined;
});

export const registerDemo: Register = (program) => program.addCommand(demo);
