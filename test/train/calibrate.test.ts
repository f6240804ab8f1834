import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from '../../src/base/index.ts';
import type { DecodedOutputs, WindowSet } from '../../src/features/index.ts';
import { applyCalibration, calibratedReturn, hourOfSession } from '../../src/model/index.ts';
import { calibrate, conformalQuantile, fitDamping, fitGains } from '../../src/train/index.ts';

describe('the conformal quantile', () => {
  it('is the order statistic that the formula names', () => {
    // n = 19: the ceil(0.9 * 20) = 18th smallest.
    const scores = Float64Array.from({ length: 19 }, (_, i) => ((i * 7) % 19) + 1);
    assert.equal(conformalQuantile(scores, 0.9), 18);
    assert.equal(conformalQuantile(scores.subarray(0, 3), 0.99), Math.max(...scores.subarray(0, 3)));
    assert.ok(Number.isNaN(conformalQuantile(new Float64Array(0), 0.9)));
  });

  it('covers at least its level of fresh scores, and not much more', () => {
    const random = new Random(3);
    const normal = () => random.normal();
    let covered = 0;
    const trials = 4000;
    for (let trial = 0; trial < trials; trial++) {
      if (normal() <= conformalQuantile(Float64Array.from({ length: 99 }, normal), 0.9)) covered++;
    }
    // 4 standard errors of a binomial share around the exact 90 of 100.
    assert.ok(Math.abs(covered / trials - 0.9) < 4 * Math.sqrt((0.9 * 0.1) / trials), `covered ${covered / trials}`);
  });
});

describe('the gains', () => {
  const random = new Random(4);
  const N = 20_000;
  const draw = () => Float64Array.from({ length: N }, () => random.normal());

  it('are the least-squares amplitudes of parts that depend on each other', () => {
    const [a, noise, rest] = [draw(), draw(), draw()];
    const b = a.map((x, i) => 0.6 * x + 0.8 * noise[i]);
    const realised = a.map((x, i) => 0.5 * x + 0.9 * b[i] + rest[i]);
    const [first, second] = fitGains([a, b], realised);
    assert.ok(Math.abs(first - 0.5) < 0.05 && Math.abs(second - 0.9) < 0.05, `${first}, ${second}`);
  });

  it('are small for a part that says nothing, and limited', () => {
    const [a, b] = [draw(), draw()];
    const [none, most] = fitGains(
      [a, b],
      b.map((x) => 9 * x),
    );
    assert.ok(none <= 0.06 && most <= 1.5, `${none}, ${most}`);
  });

  /** Minutes of so many days; all windows of half an hour share a move. */
  const minutesOf = (days: number) => Int32Array.from({ length: N }, (_, i) => 1440 * (i % days) + ((i * 7) % 330));

  it('are believed to be small where the validation part cannot tell the forecast from noise', () => {
    const [signal, noise] = [draw(), draw()];
    const asOf = minutesOf(5);
    const moves = new Map<number, number>();
    const moveOf = (i: number) => {
      const block = Math.floor(asOf[i] / 30);
      if (!moves.has(block)) moves.set(block, random.normal());
      return moves.get(block)!;
    };
    const strong = signal.map((x, i) => x + noise[i]);
    const weak = signal.map((x, i) => 0.02 * Math.sign(moveOf(i)) * Math.abs(x));
    const [clear] = fitGains([signal], strong, asOf);
    const [doubtful] = fitGains(
      [weak],
      noise.map((x, i) => x + moveOf(i)),
      asOf,
    );
    assert.ok(clear > 0.9 && clear < 1.05, `${clear}`);
    assert.ok(doubtful < 0.6, `${doubtful}`);
  });

  it('of the first part fall with liquidity as far as the outcomes do', () => {
    const [signal, noise, liquidity] = [draw(), draw(), draw()];
    const slopeOf = (i: number) => 1 - 0.4 * Math.max(0, Math.min(1, liquidity[i] / 0.6));
    const realised = signal.map((x, i) => slopeOf(i) * x + noise[i]);
    const damping = fitDamping([signal], liquidity, realised, minutesOf(5));
    assert.ok(Math.abs(damping - 0.4) < 0.05, `${damping}`);
    const even = signal.map((x, i) => x + noise[i]);
    assert.ok(fitDamping([signal], liquidity, even, minutesOf(5)) < 0.05);
    assert.equal(fitDamping([signal], undefined, realised, minutesOf(5)), 0);
    const none = new Float64Array(N).fill(-1);
    assert.equal(fitDamping([signal], none, realised, minutesOf(5)), 0, 'nothing trades much');
    const out = calibratedReturn({ parts: [signal, noise], liquidity }, { gains: [0.9, 0.3], damping: 0.4 });
    out.forEach((value, i) => {
      assert.ok(Math.abs(value - (0.9 * slopeOf(i) * signal[i] + 0.3 * noise[i])) < 1e-12);
    });
    const plain = calibratedReturn({ parts: [signal, noise], liquidity }, { gains: [0.9, 0.3] });
    assert.equal(plain[7], 0.9 * signal[7] + 0.3 * noise[7], 'a calibration of before has no damping');
  });
});

describe('intervals', () => {
  /** EpochMinute of an ordinary session's open. */
  const open = Math.round(Date.parse('2019-12-09T14:30:00Z') / 60_000);
  const minuteOf = (asOf: number) => (asOf - open) % 1440;

  /** Windows of five sessions, whose outcomes have another deviation each hour, and grow with the strain. */
  function sample(seed: number, count: number): { windows: WindowSet; decoded: DecodedOutputs } {
    const random = new Random(seed);
    const strain = Float64Array.from({ length: count }, () => 0.2 + 0.3 * (random.uniform() - 0.5));
    const asOf = Int32Array.from({ length: count }, (_, i) => open + 1 + (i % 390) + 1440 * (Math.floor(i / 390) % 5));
    const flat = (value: number) => new Float64Array(count).fill(value);
    const targetClose = Float64Array.from({ length: count }, (_, i) => {
      const hour = Math.floor(minuteOf(asOf[i]) / 60);
      return Math.exp(0.01 * random.normal() * (1 + 0.15 * hour) * Math.exp(2 * (strain[i] - 0.2)));
    });
    const windows = {
      asOf,
      starts: asOf,
      lastClose: flat(1),
      targetClose,
      volatility: flat(0.01),
    } as unknown as WindowSet;
    return { windows, decoded: { parts: [flat(0)], below: flat(0.01), above: flat(0.01), strain } };
  }

  it('cover what they say in every hour, in calm and in storm', () => {
    const fitted = sample(1, 78_000);
    const { calibration } = calibrate(fitted.windows, fitted.decoded, true);
    assert.equal(calibration.strain.slope, 2, 'the response that the outcomes were made with');
    const fresh = sample(2, 78_000);
    const { low, high } = applyCalibration(fresh.decoded, fresh.windows, calibration);
    const covered = (keep: (i: number) => boolean) => {
      let count = 0;
      let inside = 0;
      low.forEach((_, i) => {
        if (!keep(i)) return;
        const y = Math.log(fresh.windows.targetClose[i]);
        count++;
        if (low[i] <= y && y <= high[i]) inside++;
      });
      return inside / count;
    };
    for (let hour = 0; hour < 6; hour++) {
      const share = covered((i) => Math.floor(minuteOf(fresh.windows.asOf[i]) / 60) === hour);
      assert.ok(share > 0.75 && share < 0.85, `hour ${hour}: ${share}`);
    }
    for (const [from, to] of [
      [0, 0.12],
      [0.28, 1],
    ]) {
      const share = covered((i) => fresh.decoded.strain[i] >= from && fresh.decoded.strain[i] < to);
      assert.ok(share > 0.78 && share < 0.82, `strain from ${from} to ${to}: ${share}`);
    }
  });

  it('widen where the market is louder than it was, and are not narrowed where it is quieter', () => {
    const at = (seed: number, turbulence: number) => {
      const { windows, decoded } = sample(seed, 39_000);
      const random = new Random(seed);
      // As loud as that in the first hour, and louder from hour to hour.
      const hourly = (i: number) => 1 + 0.1 * hourOfSession(windows.asOf[i]);
      const loud = Float64Array.from(windows.asOf, (_, i) => turbulence * hourly(i) * Math.exp(0.02 * random.normal()));
      return { windows, decoded: { ...decoded, turbulence: loud } };
    };
    const fitted = at(1, 0.8);
    const { calibration } = calibrate(fitted.windows, fitted.decoded, true);
    const plain = calibrate(fitted.windows, sample(1, 39_000).decoded, true).calibration;
    const widths = (calibrated: typeof calibration, { windows, decoded }: typeof fitted) => {
      const { low, high } = applyCalibration(decoded, windows, calibrated);
      return low.map((value, i) => high[i] - value);
    };
    const ratioTo = (turbulence: number) => {
      const [loud, without] = [calibration, plain].map((it) => widths(it, at(1, turbulence)));
      return loud.reduce((sum, value, i) => sum + value / without[i], 0) / loud.length;
    };
    const near = (found: number, expected: number) =>
      assert.ok(Math.abs(found / expected - 1) < 0.01, `${found}, expected ${expected}`);
    near(ratioTo(0.8), 1);
    near(ratioTo(1.6), 2 ** 0.25);
    near(ratioTo(0.4), 1);
    near(ratioTo(80), Math.exp(0.25 * 1.5));
    assert.ok(Math.abs(ratioTo(0) - 1) < 0.01, 'an unknown market is no storm');
    assert.equal(plain.turbulence, undefined);
  });

  it('take the last half hour of a half-day for that of a whole one', () => {
    const at = (iso: string) => hourOfSession(Math.round(Date.parse(iso) / 60_000));
    assert.deepEqual(
      ['2019-12-23T20:29Z', '2019-12-23T20:30Z', '2019-12-23T21:00Z'].map(at),
      [5, 6, 6],
      'a session to 16:00 in New York',
    );
    assert.deepEqual(['2019-12-24T17:29Z', '2019-12-24T17:30Z', '2019-12-24T18:00Z'].map(at), [2, 6, 6], 'to 13:00');
  });

  it('are those of several days where the validation part is short and went one way', () => {
    // Half an hour in which everything fell, and four sessions of the ordinary kind.
    const days = sample(3, 78_000);
    const indices = Array.from({ length: 300 }, (_, i) => i);
    const slice = (values: Float64Array) => Float64Array.from(indices, (i) => values[i]);
    const short = {
      windows: {
        asOf: Int32Array.from(indices, (i) => open + 300 + (i % 30)),
        starts: Int32Array.from(indices),
        lastClose: slice(days.windows.lastClose),
        targetClose: Float64Array.from(indices, () => Math.exp(-0.03)),
        volatility: slice(days.windows.volatility),
      } as unknown as WindowSet,
      decoded: {
        parts: [new Float64Array(300)],
        below: slice(days.decoded.below),
        above: slice(days.decoded.above),
        strain: slice(days.decoded.strain),
      },
    };
    const alone = calibrate(short.windows, short.decoded, false).calibration;
    const { calibration } = calibrate(short.windows, short.decoded, false, days);
    const ordinary = calibrate(days.windows, days.decoded, false).calibration;
    assert.deepEqual(calibration.below, calibration.above);
    calibration.below.forEach((width, hour) => {
      const far = Math.abs(Math.log(width / ordinary.below[hour]));
      assert.ok(far < 0.1, `hour ${hour}: ${width} beside ${ordinary.below[hour]}`);
    });
    assert.ok(Math.abs(Math.log(alone.below[0] / ordinary.below[0])) > 0.1, 'alone it would be another');
  });
});
