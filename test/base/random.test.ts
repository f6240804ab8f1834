/** Philox against its authors' known answers, and the stream made of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashText, philox4x32, Random } from '../../src/base/index.ts';

type Four = [number, number, number, number];

const philox = ([k0, k1]: [number, number], [c0, c1, c2, c3]: Four) => {
  const out = new Uint32Array(4);
  philox4x32(k0, k1, c0, c1, c2, c3, out);
  return Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' ');
};

describe('Philox4x32-10', () => {
  it('gives the known answers of the Random123 distribution', () => {
    const ones = 0xffffffff;
    assert.equal(philox([0, 0], [0, 0, 0, 0]), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    assert.equal(philox([ones, ones], [ones, ones, ones, ones]), '408f276d 41c83b0e a20bc7c6 6d5451fd');
    // Digits of pi, as in the same file of known answers.
    assert.equal(
      philox([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]),
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    );
  });
});

describe('Random', () => {
  it('draws the words of the blocks in turn', () => {
    const out = new Uint32Array(4);
    const random = new Random(5, 6);
    for (let block = 0; block < 3; block++) {
      philox4x32(5, 6, block, 0, 0, 0, out);
      assert.deepEqual([random.word(), random.word(), random.word(), random.word()], [...out]);
    }
  });

  it('goes on from a saved position, at any lane', () => {
    for (let drawn = 0; drawn < 9; drawn++) {
      const straight = new Random(2 ** 40 + 3, 1);
      for (let i = 0; i < drawn; i++) straight.word();
      const resumed = new Random(2 ** 40 + 3, 1, straight.position);
      for (let i = 0; i < 6; i++) assert.equal(resumed.word(), straight.word(), `after ${drawn}`);
    }
  });

  it('tells seeds and streams apart, beyond 32 bits too', () => {
    const first = (seed: number, stream: number) => new Random(seed, stream).word();
    const words = [first(1, 0), first(2, 0), first(1, 1), first(1 + 2 ** 32, 0), first(-1, 0)];
    assert.equal(new Set(words).size, words.length);
  });

  it('uniform fills [0, 1) evenly and below stays below', () => {
    const random = new Random(9);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 20_000; i++) {
      const value = random.uniform();
      assert.ok(value >= 0 && value < 1);
      counts[Math.floor(value * 10)]++;
      assert.ok(random.below(3) < 3);
    }
    // 2,000 expected a bin; five standard deviations are 212.
    assert.ok(
      counts.every((count) => Math.abs(count - 2000) < 212),
      counts.join(),
    );
  });

  it('normal has mean 0, variance 1 and the tails of a normal', () => {
    const random = new Random(10);
    const draws = Array.from({ length: 20_000 }, () => random.normal());
    const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
    const variance = draws.reduce((sum, x) => sum + x * x, 0) / draws.length;
    const beyondTwo = draws.filter((x) => Math.abs(x) > 2).length / draws.length;
    assert.ok(Math.abs(mean) < 5 / Math.sqrt(draws.length), `mean ${mean}`);
    assert.ok(Math.abs(variance - 1) < 5 * Math.sqrt(2 / draws.length), `variance ${variance}`);
    assert.ok(Math.abs(beyondTwo - 0.0455) < 0.0075, `share beyond 2: ${beyondTwo}`);
  });

  it('shuffle keeps every value, and reaches every order of three about equally', () => {
    const random = new Random(11);
    const orders = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const values = Int32Array.of(1, 2, 3);
      random.shuffle(values);
      orders.set(values.join(''), (orders.get(values.join('')) ?? 0) + 1);
    }
    assert.deepEqual([...orders.keys()].sort(), ['123', '132', '213', '231', '312', '321']);
    // 1,000 expected each; five standard deviations are 144.
    for (const [order, count] of orders) assert.ok(Math.abs(count - 1000) < 144, `${order}: ${count}`);
  });
});

describe('hashText', () => {
  it('is FNV-1a of 32 bits', () => {
    assert.equal(hashText(''), 0x811c9dc5);
    assert.equal(hashText('a'), 0xe40c292c);
    assert.equal(hashText('foobar'), 0xbf9cf968);
  });
});
