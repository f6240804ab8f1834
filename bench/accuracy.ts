/**
 * Our model beside a peer's LSTM and ridge, scored on the same windows: those of minutes that all have a bar, which is
 * what the peer makes. The peer is trained to the day before `--from`; nothing after `--to` is read.
 *
 *     node bench/accuracy.ts MODEL --from DAY --to DAY --trained-to DAY --python PYTHON --peer SCRIPT.py --csv DIR
 *
 * The model must have been trained to the same day. `BARCAST_DATA` and `BARCAST_MODELS` as for the commands.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { epochMinute, parseDay } from '../src/base/index.ts';
import { startOfDay } from '../src/cli/selection.ts';
import { evaluateForecasts, forecastWindows, type Score } from '../src/evaluate/index.ts';
import { selectWindows } from '../src/features/index.ts';
import { chooseKernel } from '../src/kernel/index.ts';
import { Registry } from '../src/model/index.ts';
import { openReader } from '../src/store/index.ts';

const text = { type: 'string' } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { from: text, to: text, 'trained-to': text, python: text, peer: text, csv: text },
});
const { from, to, 'trained-to': trainedTo, python = 'python3', peer, csv } = values;
const [name] = positionals;
if (!name || !from || !to || !trainedTo || !peer || !csv) {
  console.error('usage: node bench/accuracy.ts MODEL --from DAY --to DAY --trained-to DAY --peer SCRIPT.py --csv DIR');
  process.exit(2);
}

/** The peer's log returns by symbol and minute of the window's last bar. */
function peerForecasts(): Map<string, readonly [ridge: number, lstm: number]> {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-peer-'));
  const table = join(folder, 'forecasts.csv');
  try {
    const script = join(import.meta.dirname, 'peer_forecasts.py');
    execFileSync(python, [script, peer!, csv!, table, trainedTo!, to!], { stdio: ['ignore', 'ignore', 'inherit'] });
    const lines = readFileSync(table, 'utf8').trim().split('\n').slice(1);
    return new Map(
      lines.map((line) => {
        const [symbol, minute, ridge, lstm] = line.split(',');
        return [`${symbol} ${minute}`, [Number(ridge), Number(lstm)]];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const peers = peerForecasts();
const kernel = await chooseKernel({ kernel: 'auto' });
const model = await new Registry(process.env.BARCAST_MODELS ?? './models').load(name, kernel);
const reader = await openReader(process.env.BARCAST_DATA ?? './data');
const day = (text: string) => startOfDay(parseDay(text));
const [first, end] = [day(from), epochMinute(day(to) + 1440)];
const bars = await reader.read({ from: first, to: end });
const { provenance } = model.description;
const fitted = { symbols: provenance!.symbols, from: epochMinute(0), to: first };
const forecasts = await forecastWindows({ model, bars, trainingBars: await reader.read(fitted) });
const { windows } = forecasts;
const keyOf = (i: number) => `${windows.symbols[windows.symbol[i]]} ${windows.asOf[i] - 1}`;
const common = Int32Array.from(windows.asOf, (_, i) => i).filter((i) => peers.has(keyOf(i)));
const taken = (column: Float64Array) => Float64Array.from(common, (i) => column[i]);
const of = (which: 0 | 1) => Float64Array.from(common, (i) => peers.get(keyOf(i))![which]);
const ours = {
  windows: selectWindows(windows, common),
  predictedReturn: taken(forecasts.predictedReturn),
  low: taken(forecasts.low),
  high: taken(forecasts.high),
};
const { horizonMinutes } = model;
const beside = (other: Float64Array) => evaluateForecasts({ ...ours, ridgeReturn: other }, { horizonMinutes });
const [ridge, peerRidge, lstm] = [beside(taken(forecasts.ridgeReturn!)), beside(of(0)), beside(of(1))];
const line = (label: string, { skill, skillCi95, skillScaled, skillScaledCi95, ...score }: Score) => ({
  label,
  skill,
  skillCi95,
  skillScaled,
  skillScaledCi95,
  informationCoefficient: score.informationCoefficient,
  informationCoefficientScaled: score.informationCoefficientScaled,
  directionalAccuracy: score.directionalAccuracy,
  rmseNormalized: score.rmseNormalized,
});
const answer = {
  model: `${model.name}@${model.version}`,
  windows: { ours: windows.asOf.length, peer: peers.size, common: common.length },
  coverage80: ridge.coverage80,
  scores: [
    line('ours', ridge.model),
    line('persistence', ridge.persistence),
    line('our ridge', ridge.ridge!),
    line("peer's ridge", peerRidge.ridge!),
    line("peer's LSTM", lstm.ridge!),
  ],
  oursOverPeerLstm: lstm.modelOverRidge,
};
const percent = (value: number | null) => (value === null ? '' : `${(100 * value).toFixed(2)}%`);
const range = (ci: readonly [number, number] | null) => (ci === null ? '' : `[${ci.map(percent).join(', ')}]`);
const { ours: all, peer: theirs } = answer.windows;
console.error(`${common.length} windows in common, of ${all} of ours and ${theirs} of the peer`);
for (const score of answer.scores) {
  const { label, skill, skillCi95, skillScaled, skillScaledCi95, informationCoefficient: ic } = score;
  const words = [
    `skill ${percent(skill)} ${range(skillCi95)}`,
    `scaled ${percent(skillScaled)} ${range(skillScaledCi95)}`,
  ];
  console.error(
    `${label.padEnd(13)} ${words.join('  ')}  IC ${ic?.toFixed(3) ?? '-'}  hit ${percent(score.directionalAccuracy)}`,
  );
}
console.log(JSON.stringify(answer));
reader.close();
model.close();
kernel.close();
