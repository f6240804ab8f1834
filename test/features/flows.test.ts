/** Flows are the sums that their formula says, term by term, wherever they are asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { FlowsAt } from '../../src/features/flow-rows.ts';
import { FLOW_INPUTS, Flows } from '../../src/features/flows.ts';
import type { FlowColumns } from '../../src/features/index.ts';

const NAMES = ['logReturn', 'surprise', 'explained', 'leader', 'clock', 'quiet', 'turbulence', 'strain'];
const columns = {
  ...(Object.fromEntries(NAMES.map((name, i) => [name, i])) as unknown as FlowColumns),
  own: NAMES.length,
  leading: NAMES.length + 1,
};
const F = NAMES.length + 2;
const ROWS = 100;
const UNIT = 2;
const SCALER = { volumePersistence: 0.3, volumeDeviation: 1.2 };
/** Places of inputs by what they are told by. */
const [TIMED_SLOWEST, EXPLAINED_QUICK, ON_VOLUME, LEADING, SHARED] = [5, 6, 9, 17, 20];

const random = new Random(6);
const matrix = Float32Array.from({ length: ROWS * F }, (_, i) => (i % F === columns.quiet ? 0 : random.normal()));
matrix[40 * F + columns.quiet] = 1;
const valueAt = (row: number, column: number) => matrix[row * F + column];

/** Means over the last hour, one after another as the definition has them. @param prior minutes the first one counts for */
function meansBefore(values: readonly number[], first: number, prior: number): number[] {
  let mean = first;
  return values.map((value, i) => {
    const before = mean;
    mean += (value - mean) / Math.min(i + 1 + prior, 60);
    return before;
  });
}

const rows = Array.from({ length: ROWS }, (_, row) => row);
const traded = rows.filter((row) => valueAt(row, columns.quiet) === 0);
const surprises = traded.map((row) => valueAt(row, columns.surprise));
const offsets = meansBefore(surprises, 0, 0).map((mean, i) => surprises[i] - 0.3 * mean);
// The first one says nothing yet: its mean is not known.
const squares = [
  0,
  ...meansBefore(
    offsets.slice(1).map((x) => x * x),
    1.44,
    31,
  ),
];
const surges = new Map(
  traded.map((row, i) => {
    const z = i === 0 ? 0 : (1.5 * offsets[i]) / Math.sqrt(squares[i]);
    return [row, z / Math.sqrt(1 + z * z)];
  }),
);
const surge = (row: number) => surges.get(row) ?? 0;

function faded(value: (row: number) => number, decay: number, fading: number, last = ROWS - 1): number {
  let sum = 0;
  for (let row = 0; row <= last; row++) {
    let left = 1;
    for (let later = row + 1; later <= last; later++) left *= Math.min(1, decay * (1 - fading * surge(later)));
    sum += left * value(row);
  }
  return sum;
}

function inputsAt(flows: Flows, blind: boolean): Float64Array {
  const out = new Float64Array(FLOW_INPUTS);
  flows.inputs(UNIT, blind, out, 0);
  return out;
}

function flowsOf(count: number): Flows {
  const flows = new Flows(columns, SCALER);
  for (let row = 0; row < count; row++) flows.next(matrix, row * F);
  return flows;
}

test('flows: the sums that their formula says, term by term', () => {
  const found = inputsAt(flowsOf(ROWS), false);
  const near = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual - expected) < 1e-9 * (1 + Math.abs(expected)), `${actual} and ${expected}`);
  const move = (row: number) => UNIT * valueAt(row, columns.logReturn);
  const explained = (row: number) => UNIT * valueAt(row, columns.explained);
  near(found[1], faded(move, 0.9, 0));
  near(
    found[TIMED_SLOWEST],
    faded((row) => valueAt(row, columns.clock) * move(row), 0.96, 0),
  );
  near(found[EXPLAINED_QUICK], faded(explained, 0.7, 0));
  const surging = (power: number) => (row: number) => surge(row) ** power * move(row);
  near(found[ON_VOLUME], faded(move, 0.9, 0.15));
  near(found[ON_VOLUME + 1], faded(surging(1), 0.9, 0.15));
  near(found[ON_VOLUME + 4], faded(surging(2), 0.7, 0.15));
  near(found[ON_VOLUME + 5], faded(surging(1), 0.96, 0.15));
  near(found[ON_VOLUME + 7], faded(surging(1), 0.9, 0.28));
  // No market was fitted, so the leader's deviation begins with nothing but its first move.
  const leaders = rows.map((row) => valueAt(row, columns.leader));
  const deviations = meansBefore(
    leaders.map((move) => move * move),
    0,
    30,
  ).map(Math.sqrt);
  const leading = (row: number) =>
    deviations[row] === 0 ? 0 : Math.max(-6, Math.min(6, leaders[row] / deviations[row]));
  near(found[LEADING + 1], faded(leading, 0.9, 0));
  const meanSquare = (column: number) =>
    rows.reduce((mean, row) => mean + (valueAt(row, column) ** 2 - mean) / Math.min(row + 1, 60), 0);
  const share = Math.min(1, Math.sqrt(meanSquare(columns.explained) / meanSquare(columns.logReturn)));
  near(found[SHARED + 1], share * faded(leading, 0.9, 0));
});

test('a blind forecast knows nothing of the market, and the same of the symbol', () => {
  const flows = flowsOf(ROWS);
  const [seeing, blind] = [inputsAt(flows, false), inputsAt(flows, true)];
  const ofMarket = (i: number) => i >= LEADING || (i >= EXPLAINED_QUICK && i < ON_VOLUME);
  blind.forEach((value, i) => {
    assert.equal(value + 0, ofMarket(i) ? 0 : seeing[i], `input ${i}`);
  });
});

test('a forecast of flows is the weighted sum of its inputs', () => {
  const flows = flowsOf(ROWS);
  const weights = Float64Array.from({ length: FLOW_INPUTS }, () => random.normal());
  const expected = inputsAt(flows, false).reduce((sum, input, i) => sum + weights[i] * input, 0);
  const found = UNIT * flows.own(weights) + flows.leading(weights);
  assert.ok(Math.abs(found - expected) < 1e-9 * (1 + Math.abs(expected)), `${found} and ${expected}`);
});

test('flows of rows of several runs, some left out and one gone back to, are those from each run on', () => {
  const runs = { symbol: Int32Array.of(0, 1), firstRow: Int32Array.of(0, 30), firstMinute: Int32Array.of(0, 0) };
  const flows = new FlowsAt({ matrix, runs }, F, columns, SCALER);
  for (const row of [3, 29, 31, 31, 99, 5, 40]) {
    const expected = new Flows(columns, SCALER);
    for (let r = row < 30 ? 0 : 30; r <= row; r++) expected.next(matrix, r * F);
    assert.deepEqual(inputsAt(flows.at(row), false), inputsAt(expected, false), `row ${row}`);
  }
});
