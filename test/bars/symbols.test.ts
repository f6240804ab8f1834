import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSymbol, parseSymbols, SP500 } from '../../src/bars/index.ts';
import { BarcastError } from '../../src/base/index.ts';

const isSymbolError = (error: unknown): boolean => error instanceof BarcastError && error.code === 'BARCAST_E_SYMBOL';

test('all spellings of a share class are one symbol', () => {
  for (const text of ['BRK-B', 'BRK.B', 'brk/b', ' brk-b ', 'Brk.b\n']) assert.equal(parseSymbol(text), 'BRK-B');
  assert.equal(parseSymbol('BF.B'), 'BF-B');
  assert.equal(parseSymbol('mkc/v'), 'MKC-V');
});

test('suffixes of exchanges, indices, currencies and futures stay', () => {
  const kept = ['AAPL', 'A', 'VOD.L', 'ABC.V', 'SHOP.TO', '0700.HK', 'RCI-B.TO', '^GSPC', '^N225', 'EURUSD=X', 'ES=F'];
  for (const symbol of kept) assert.equal(parseSymbol(symbol), symbol);
  assert.equal(parseSymbol('M&M.NS'), 'M&M.NS');
  assert.equal(parseSymbol('DX-Y.NYB'), 'DX-Y.NYB');
  assert.equal(parseSymbol('btc-usd'), 'BTC-USD');
});

test('a canonical symbol stays as it is', () => {
  for (const text of ['brk.b', 'rci.b', 'VOD.L', '^gspc', 'es=f', ...SP500]) {
    assert.equal(parseSymbol(parseSymbol(text)), parseSymbol(text));
  }
});

test('what is no symbol is refused', () => {
  const refused = [
    '',
    '  ',
    '-',
    '.',
    '^',
    'A B',
    'A,B',
    'BRK.',
    '.B',
    '-B',
    'A..B',
    'A--B',
    '123',
    '2019-12-24',
    '$AAPL',
  ];
  const hostile = [
    '../etc',
    '/etc/passwd',
    'A\0B',
    "A'B",
    'A;B',
    'ÄPFEL',
    'ABCDEFGHIJKLM',
    'A*',
    'A>',
    'x'.repeat(10_000),
  ];
  for (const text of [...refused, ...hostile]) assert.throws(() => parseSymbol(text), isSymbolError, text.slice(0, 40));
});

test('the error is one short line that names the text', () => {
  assert.throws(
    () => parseSymbol(`A\n${'x'.repeat(500)}`),
    (error) => error instanceof BarcastError && error.line.length < 160 && error.line.includes('"A\\nxx'),
  );
});

test('lists keep their order and name each symbol once', () => {
  assert.deepEqual(parseSymbols('msft,BRK.B, aapl ,brk-b,,MSFT,'), ['MSFT', 'BRK-B', 'AAPL']);
  assert.deepEqual(parseSymbols('AAPL\nMSFT\r\nVOD.L\n'), ['AAPL', 'MSFT', 'VOD.L']);
  for (const list of ['', ' , ', 'AAPL,$X']) assert.throws(() => parseSymbols(list), isSymbolError, list);
});

test('the S&P 500 is sorted, unique, canonical and of its size', () => {
  assert.equal(SP500.length, 503);
  assert.deepEqual(SP500, [...new Set(SP500)].sort());
  assert.deepEqual(SP500, SP500.map(parseSymbol));
  for (const symbol of ['AAPL', 'BRK-B', 'BF-B', 'GOOG', 'GOOGL', 'HOOD', 'ZTS'])
    assert.ok(SP500.includes(symbol), symbol);
});
