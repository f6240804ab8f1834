/** Reads a store by threads, and once more, and exits while it does: `read-and-exit.ts FOLDER MILLISECONDS CODE`. */
import { openReader } from '../../../src/store/index.ts';

const [data, milliseconds, code] = process.argv.slice(2);
const reader = await openReader(data!);
await reader.read();
setTimeout(() => process.exit(Number(code)), Number(milliseconds));
for (;;) await reader.read();
