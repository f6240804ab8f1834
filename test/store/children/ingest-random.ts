/**
 * A child that ingests rows of one symbol, poorly compressible ones, and says what came of it.
 * Arguments: the store, the symbol, the number of rows.
 */
import { epochMs, Random, toBarcastError } from '../../../src/base/index.ts';
import { openStore } from '../../../src/store/index.ts';

const [directory, symbol, count] = [process.argv[2]!, process.argv[3]!, Number(process.argv[4])];
const random = new Random(1);
const prices = () => Float64Array.from({ length: count }, () => 10 + random.uniform());
try {
  const store = await openStore(directory);
  const transaction = await store.begin();
  await transaction.addBars({
    symbol,
    timeMs: Float64Array.from({ length: count }, (_, i) => 1_577_975_400_000 + i * 60_000),
    open: prices(),
    high: prices(),
    low: prices(),
    close: prices(),
    volume: prices(),
    askedAt: epochMs(Date.parse('2030-01-01T00:00:00Z')),
  });
  const { rowsStored } = await transaction.commit();
  store.close();
  console.log(`stored ${rowsStored}`);
} catch (error) {
  console.log(toBarcastError(error).line);
}
