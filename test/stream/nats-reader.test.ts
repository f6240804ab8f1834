import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { connectNats, disconnectNats } from '../../src/stream/nats-connection.ts';
import { hasHeader, readStream } from '../../src/stream/nats-reader.ts';
import { natsServer } from './nats-server.ts';
import { until } from './shared-support.ts';

const MARK = 'Barcast-End';

function headersOf(pairs: readonly (readonly [string, string])[]): MsgHdrs | undefined {
  if (pairs.length === 0) return undefined;
  const made = headers();
  for (const [name, value] of pairs) made.append(name, value);
  return made;
}

async function setUp(t: TestContext) {
  let end = async () => {};
  t.after(() => end());
  const { url } = await natsServer(t);
  const nats = await connectNats({ url });
  end = () => disconnectNats(nats);
  return nats;
}

const CASES: readonly { readonly pairs: readonly (readonly [string, string])[]; readonly data: string }[] = [
  { pairs: [], data: '{"close":1}' },
  { pairs: [[MARK, '1']], data: '{"close":1}' },
  { pairs: [['Barcast-Id', 'A:1']], data: '{"close":1}' },
  {
    pairs: [
      ['Barcast-Id', 'A:1'],
      [MARK, ''],
    ],
    data: '{"close":1}',
  },
  {
    pairs: [
      [MARK, '1'],
      ['Barcast-Id', 'A:2'],
    ],
    data: '{"close":1}',
  },
  // Names that hold it or that it holds, and values that name it.
  {
    pairs: [
      [`X-${MARK}`, '1'],
      [`${MARK}-Not`, '1'],
      ['Barcast', '1'],
    ],
    data: '{}',
  },
  { pairs: [['X', `${MARK}: 1`]], data: '{}' },
  // No data, and data that looks like a header block, with headers and without.
  { pairs: [], data: '' },
  { pairs: [[MARK, '1']], data: '' },
  { pairs: [['X', '1']], data: '' },
  { pairs: [], data: `NATS/1.0\r\n${MARK}: 1\r\n\r\n` },
  { pairs: [['X', '1']], data: `NATS/1.0\r\n${MARK}: 1\r\n\r\n` },
  { pairs: [[MARK, '1']], data: 'NATS/1.0\r\n\r\n' },
  { pairs: [], data: `\r\n\r\n${MARK}: 1` },
  { pairs: [], data: '{"after":"a marked one"}' },
];

test('a header is found where the client finds it, in each of many messages', async (t) => {
  const nats = await setUp(t);
  // Many, so that most lie in one buffer with others before and behind them.
  const sent = Array.from({ length: 20 }, () => CASES).flat();
  for (const { pairs, data } of sent) nats.connection.publish('bars.A', data, { headers: headersOf(pairs) });
  await nats.connection.flush();
  const stop = new AbortController();
  const found: boolean[] = [];
  for await (const messages of readStream(nats, 'BARS', { sequence: 1 }, stop.signal)) {
    for (const message of messages) {
      const has = hasHeader(message, message.data, MARK);
      assert.equal(has, message.headers?.has(MARK) ?? false, `message ${message.seq}`);
      found.push(has);
    }
    if (found.length >= sent.length) stop.abort();
  }
  assert.deepEqual(
    found,
    sent.map(({ pairs }) => pairs.some(([name]) => name === MARK)),
  );
});

test('a request for messages that is idle is not made anew every few seconds: the server loses one that runs out', async (t) => {
  const nats = await setUp(t);
  const requests: { expires: number; idle_heartbeat: number }[] = [];
  nats.connection.subscribe('$JS.API.CONSUMER.MSG.NEXT.>', {
    callback: (_error, message) => {
      requests.push(message.json());
    },
  });
  let heartbeats = 0;
  nats.connection.subscribe('_INBOX.>', {
    callback: (_error, message) => {
      if (message.headers?.code === 100) heartbeats++;
    },
  });
  const stop = new AbortController();
  const reading = (async () => {
    for await (const _ of readStream(nats, 'BARS', { sequence: 1 }, stop.signal));
  })();
  await until(() => heartbeats >= 3);
  stop.abort();
  await reading;
  assert.equal(requests.length, 1);
  const [{ expires, idle_heartbeat }] = requests;
  assert.ok(expires > 60e9 * 30, 'nanoseconds');
  assert.notEqual(expires % 60e9, 0, 'bars come on the minute');
  assert.ok(idle_heartbeat <= 1e9, 'a server that is silent is noticed');
});
