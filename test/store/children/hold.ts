/** A child that owns a store until it is killed. Says `owned` or the code of the error, and the process that is named. */
import { BarcastError } from '../../../src/base/index.ts';
import { openStore } from '../../../src/store/index.ts';

try {
  await openStore(process.argv[2]!);
  console.log('owned');
  setInterval(() => {}, 1000);
} catch (error) {
  console.log(error instanceof BarcastError ? `${error.code} ${error.message}` : String(error));
}
