/**
 * The WebSocket side: what changes in the state goes to every client, written once and sent to all.
 *
 * A client that does not read costs at most `maxBufferedBytes` and then its connection: it connects again and reads
 * the present state over REST. Nobody waits for it. Clients have nothing to say; a message longer than a kilobyte
 * ends the connection.
 */
import type { WebSocket } from '@fastify/websocket';
import type { LiveEvent, LiveState } from '../stream/index.ts';
import { barView, statusView } from './views.ts';

export interface StreamOptions {
  /** Bytes that may wait for one client. */
  readonly maxBufferedBytes: number;
  readonly maxClients: number;
  /** How often clients are told the time and asked whether they are there. */
  readonly heartbeatMs: number;
}

/** Close codes of RFC 6455, section 7.4.1, and its registry. */
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;
/** Heartbeats without an answer before a client counts as gone. */
const SILENT_HEARTBEATS = 60;

export class StreamHub {
  /** Clients cut off because they did not read. */
  droppedClients = 0;
  readonly #state: LiveState;
  readonly #options: StreamOptions;
  /** Client -> heartbeats since it was last heard. */
  readonly #clients = new Map<WebSocket, number>();
  readonly #stopListening: () => void;
  readonly #timer: NodeJS.Timeout;

  constructor(state: LiveState, options: StreamOptions) {
    this.#state = state;
    this.#options = options;
    this.#stopListening = state.listen((event) => {
      if (this.#clients.size > 0) this.#pass(event);
    });
    this.#timer = setInterval(() => this.#beat(), options.heartbeatMs);
    this.#timer.unref();
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Takes a client that has just connected. */
  add(client: WebSocket): void {
    if (this.#clients.size >= this.#options.maxClients) {
      client.close(TRY_AGAIN_LATER, 'too many clients');
      return;
    }
    this.#clients.set(client, 0);
    client.on('pong', () => this.#clients.has(client) && this.#clients.set(client, 0));
    client.on('close', () => this.#clients.delete(client));
    // A broken connection is followed by its close.
    client.on('error', () => {});
    client.send(JSON.stringify({ type: 'status', ...statusView(this.#state) }));
  }

  close(): void {
    this.#stopListening();
    clearInterval(this.#timer);
    for (const client of this.#clients.keys()) client.close(GOING_AWAY, 'the server is stopping');
  }

  /** Cuts the connections that did not answer the close. */
  terminate(): void {
    for (const client of this.#clients.keys()) client.terminate();
  }

  #pass(event: LiveEvent): void {
    const marketTime = this.#state.marketTime();
    if (event.type === 'bars') this.#send({ type: 'bars', marketTime, bars: event.bars.map(barView) });
    else if (event.type === 'status') this.#send({ type: 'status', ...statusView(this.#state) });
    else if (event.type !== 'prediction') this.#send({ marketTime, ...event });
  }

  #send(message: object): void {
    const text = JSON.stringify(message);
    for (const client of this.#clients.keys()) {
      if (client.bufferedAmount > this.#options.maxBufferedBytes) this.#drop(client);
      else client.send(text);
    }
  }

  #drop(client: WebSocket): void {
    this.droppedClients++;
    this.#clients.delete(client);
    client.terminate();
  }

  #beat(): void {
    if (this.#clients.size === 0) return;
    this.#send({ type: 'time', marketTime: this.#state.marketTime() });
    for (const [client, silent] of this.#clients) {
      if (silent >= SILENT_HEARTBEATS) this.#drop(client);
      else {
        this.#clients.set(client, silent + 1);
        if (silent % 10 === 0) client.ping();
      }
    }
  }
}
