/** A server over made-up live data, and WebSocket clients to watch it with. */
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import WebSocket from 'ws';
import { epochMinute, epochMs } from '../../src/base/index.ts';
import { type ServerOptions, startServer } from '../../src/serve/index.ts';
import { LiveState } from '../../src/stream/index.ts';
import { bar, forecastOf, MODEL, OPEN } from '../stream/fixtures.ts';

export { bar, forecastOf, MODEL, OPEN };

/** A state with a model, a running source and three symbols of which A and BRK-B have bars and forecasts. */
export function filledState(): LiveState {
  const state = new LiveState({ symbols: ['A', 'BRK-B', 'NEW'], longestQuietRun: 3 });
  state.clock = { now: () => epochMs((OPEN + 7) * 60_000) };
  state.setModel({ ...MODEL, details: { recipe: 'returns' } });
  state.setSource({ name: 'replay', state: 'running', detail: null });
  for (const symbol of ['A', 'BRK-B']) {
    for (let m = 0; m < 7; m++) {
      state.acceptBars([bar(symbol, OPEN + m, 100 + m, m === 3 ? Number.NaN : 10)]);
      state.acceptForecasts([forecastOf(symbol, OPEN + m + 1, 100 + m, 0.001)]);
    }
  }
  return state;
}

/** Starts a server on a free port that is closed after the test. */
export async function serve(t: TestContext, options: Partial<ServerOptions> = {}) {
  const server = await startServer({ state: filledState(), port: 0, ...options });
  t.after(() => server.close());
  return server;
}

export const getJson = async (url: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { headers });
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert the form of what comes
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
};

/** A WebSocket client that collects messages and can wait for the one that fits. */
export async function connect(t: TestContext, url: string, options: WebSocket.ClientOptions = {}) {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), options);
  t.after(() => socket.terminate());
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert the form of what comes
  const messages: any[] = [];
  let wake = () => {};
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)));
    wake();
  });
  await once(socket, 'open');
  return {
    socket,
    messages,
    // biome-ignore lint/suspicious/noExplicitAny: the tests assert the form of what comes
    async waitFor(fits: (message: any) => boolean): Promise<any> {
      for (let from = 0; ; ) {
        for (; from < messages.length; from++) if (fits(messages[from])) return messages[from];
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

export const minute = (m: number) => epochMinute(OPEN + m);
