/**
 * WebSocket clients in a process of their own: connects as many as it is told, and answers how long each message took
 * from the server's clock to the client. Started by `clients.ts`.
 */
interface Order {
  readonly url: string;
  readonly clients: number;
  /** Messages of forecasts that each client takes without noting the time, and then with it. */
  readonly warmUp: number;
  readonly messages: number;
}

export interface LoadAnswer {
  /** Milliseconds of every message at every client: by message, in order. */
  readonly latencies: readonly (readonly number[])[];
  /** Messages that came twice, out of order or not whole. */
  readonly wrong: number;
}

const HEAD = /^\{"marketTime":"([^"]+)","type":"forecasts".*?"asOf":"([^"]+)"/;

function connect({ url, warmUp, messages }: Order, latencies: readonly number[][]) {
  const { promise: opened, resolve: open, reject } = Promise.withResolvers<void>();
  const { promise: done, resolve: finish } = Promise.withResolvers<number>();
  const socket = new WebSocket(url);
  let [had, wrong, newest] = [0, 0, ''];
  socket.addEventListener('error', () => reject(new Error(`no connection to ${url}`)));
  socket.addEventListener('close', () => finish(wrong + warmUp + messages - had));
  socket.addEventListener('message', ({ data }: { data: string }) => {
    if (data.startsWith('{"type":"status"')) return open();
    const found = HEAD.exec(data.slice(0, 200));
    if (found === null) return;
    const [, sent, asOf] = found;
    // Each message is of a later minute.
    if (asOf <= newest || !data.endsWith('}')) wrong++;
    newest = asOf;
    const sentAt = Date.parse(sent);
    if (++had > warmUp) latencies[had - warmUp - 1].push(Date.now() - sentAt);
    if (had === warmUp + messages) finish(wrong);
  });
  return { opened, done, close: () => socket.close() };
}

process.once('message', async (order: Order) => {
  const { clients } = order;
  const latencies = Array.from({ length: order.messages }, (): number[] => []);
  const all = [];
  // In groups: a thousand handshakes at once overflow the queue of connections to accept.
  for (let from = 0; from < clients; from += 50) {
    const group = Array.from({ length: Math.min(50, clients - from) }, () => connect(order, latencies));
    await Promise.all(group.map(({ opened }) => opened));
    all.push(...group);
  }
  process.send!('ready');
  const wrong = (await Promise.all(all.map(({ done }) => done))).reduce((sum, it) => sum + it, 0);
  for (const { close } of all) close();
  process.send!({ latencies, wrong } satisfies LoadAnswer, () => process.disconnect());
});
