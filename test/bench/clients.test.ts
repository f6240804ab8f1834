/** The benchmark of the WebSocket clients, small: its own checks are what is asked for, not its times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchClients } from '../../bench/clients.ts';

test('sixty clients in processes of their own, six of which do not read: the others get every message once and in order', async () => {
  const size = { clients: 60, stalled: 6, symbols: 50, messages: 10, intervalMs: 10, rounds: 1 };
  const { clients, stalledBehindBytes, bytesPerMessage, p50Ms, withStalledP99Ms } = await benchClients(size);
  assert.equal(clients, 60);
  assert.ok(stalledBehindBytes > 10 * bytesPerMessage, 'they were behind');
  assert.ok(Number.isFinite(p50Ms) && Number.isFinite(withStalledP99Ms));
});
