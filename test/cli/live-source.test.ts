/** Which live sources keep their bars in the store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSource, type SourceName } from '../../src/cli/live-source.ts';
import { openReader } from '../../src/store/index.ts';
import { exchangeFor } from '../sources/yahoo-fixtures.ts';
import { temporaryFolder } from '../store/support.ts';

test('bars are kept of what comes from outside, of the simulated exchange when asked for, and of a replay never', async (t) => {
  const { url } = await exchangeFor(t, { speed: 240 });
  /** Follows a source for some bars. Returns how many are stored then. */
  const follow = async (name: SourceName, store?: boolean): Promise<[seen: number, stored: number]> => {
    const data = temporaryFolder(t);
    const options = { yahooUrl: url, symbols: 'SPY,MSFT', ...(store === undefined ? {} : { store }) };
    const { source, symbols, close } = await openSource(name, options, [], undefined, data, () => {});
    const stop = new AbortController();
    let seen = 0;
    for await (const bars of source.live(symbols, stop.signal)) {
      seen += bars.length;
      if (seen >= 4) stop.abort();
    }
    await close();
    const reader = await openReader(data).catch(() => undefined);
    const stored = (await reader?.summary())?.bars ?? 0;
    reader?.close();
    return [seen, stored];
  };
  const [seen, stored] = await follow('yahoo');
  assert.equal(stored, seen);
  assert.equal((await follow('yahoo', false))[1], 0);
  assert.equal((await follow('simulated'))[1], 0);
  const asked = await follow('simulated', true);
  assert.equal(asked[1], asked[0]);
  await assert.rejects(follow('replay', true), { code: 'BARCAST_E_USAGE' });
});
