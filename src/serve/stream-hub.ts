/**
 * The WebSocket side: what changes in the state goes to every client, encoded once and shared by all.
 *
 * Messages stand in one log that is bounded in bytes, and each client has its place in it. A client is handed the next
 * message when the operating system has taken most of what it was handed before, so one that does not read stops at its
 * place and holds nobody up; it costs no memory beyond the log. When the log's end overtakes it, or when it has answered
 * no ping for a minute, it is cut off: it connects again and reads the present state over REST. Clients are served in
 * slices between which other work goes on, so that a thousand of them do not hold a forecast up.
 *
 * Clients have nothing to say; a message longer than a kilobyte ends the connection.
 */
import type { WebSocket } from '@fastify/websocket';
import type { LiveEvent, LiveState } from '../stream/index.ts';
import { barView, statusView } from './views.ts';

export interface StreamOptions {
  /** Bytes of messages that are kept for clients that are behind. */
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
/** Bytes handed to a connection and not yet taken by the operating system before it has to wait. */
const IN_FLIGHT_BYTES = 64 * 1024;
const SLICE = 50;

interface Client {
  readonly socket: WebSocket;
  /** Number of the next message for it. */
  next: number;
  inFlight: number;
  /** Heartbeats since it was last heard. */
  silent: number;
}

export class StreamHub {
  /** Clients cut off because they did not read. */
  droppedClients = 0;
  readonly #state: LiveState;
  readonly #options: StreamOptions;
  readonly #clients = new Map<WebSocket, Client>();
  /** Messages number `#first` to `#first + #log.length - 1`. */
  #log: Buffer[] = [];
  #first = 0;
  #bytes = 0;
  #pumping = false;
  #onEmpty = () => {};
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

  /** Bytes of messages kept at this moment, for all clients together. */
  get bufferedBytes(): number {
    return this.#bytes;
  }

  /** Takes a client that has just connected. */
  add(socket: WebSocket): void {
    if (this.#clients.size >= this.#options.maxClients) {
      socket.close(TRY_AGAIN_LATER, 'too many clients');
      return;
    }
    const client: Client = { socket, next: this.#first + this.#log.length, inFlight: 0, silent: 0 };
    this.#clients.set(socket, client);
    socket.on('pong', () => {
      client.silent = 0;
    });
    socket.on('close', () => {
      this.#clients.delete(socket);
      if (this.#clients.size > 0) return;
      this.#forget();
      this.#onEmpty();
    });
    // A broken connection is followed by its close.
    socket.on('error', () => {});
    this.#hand(client, Buffer.from(JSON.stringify({ type: 'status', ...statusView(this.#state) })));
  }

  /** Tells every client and resolves when all are gone; who has not said goodbye in time is cut off. */
  async close(withinMs: number): Promise<void> {
    this.#stopListening();
    clearInterval(this.#timer);
    if (this.#clients.size === 0) return;
    const timer = setTimeout(() => {
      for (const { socket } of this.#clients.values()) socket.terminate();
    }, withinMs);
    const gone = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    for (const { socket } of this.#clients.values()) socket.close(GOING_AWAY, 'the server is stopping');
    await gone;
    clearTimeout(timer);
  }

  #pass(event: LiveEvent): void {
    const marketTime = this.#state.marketTime();
    if (event.type === 'bars') this.#send({ type: 'bars', marketTime, bars: event.bars.map(barView) });
    else if (event.type === 'status') this.#send({ type: 'status', ...statusView(this.#state) });
    else if (event.type !== 'prediction') this.#send({ marketTime, ...event });
  }

  #send(message: object): void {
    const bytes = Buffer.from(JSON.stringify(message));
    this.#log.push(bytes);
    this.#bytes += bytes.length;
    // The newest message is kept whatever its size.
    let given = 0;
    while (this.#bytes > this.#options.maxBufferedBytes && given < this.#log.length - 1)
      this.#bytes -= this.#log[given++].length;
    if (given > 0) this.#giveUp(given);
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => this.#pump([...this.#clients.values()], 0));
  }

  /** Lets go of the oldest messages, and of the clients that had not had them. */
  #giveUp(count: number): void {
    this.#log.splice(0, count);
    this.#first += count;
    for (const client of this.#clients.values()) if (client.next < this.#first) this.#drop(client);
  }

  #pump(clients: readonly Client[], from: number): void {
    const to = Math.min(clients.length, from + SLICE);
    for (let i = from; i < to; i++) this.#fill(clients[i]);
    if (to < clients.length) {
      setImmediate(() => this.#pump(clients, to));
      return;
    }
    this.#pumping = false;
    // What came meanwhile has had its turn with those clients that were not served yet; the others get it now.
    const end = this.#first + this.#log.length;
    const behind = clients.filter((client) => client.next < end && client.inFlight < IN_FLIGHT_BYTES);
    if (behind.length > 0) {
      this.#pumping = true;
      setImmediate(() => this.#pump(behind, 0));
    } else this.#trim();
  }

  #fill(client: Client): void {
    if (!this.#clients.has(client.socket)) {
      client.next = Number.POSITIVE_INFINITY;
      return;
    }
    while (client.inFlight < IN_FLIGHT_BYTES && client.next < this.#first + this.#log.length)
      this.#hand(client, this.#log[client.next++ - this.#first]);
  }

  #hand(client: Client, bytes: Buffer): void {
    client.inFlight += bytes.length;
    client.socket.send(bytes, { binary: false }, () => {
      client.inFlight -= bytes.length;
      if (client.next < this.#first + this.#log.length) this.#fill(client);
    });
  }

  /** Lets go of what every client has been handed. */
  #trim(): void {
    let least = this.#first + this.#log.length;
    for (const { next } of this.#clients.values()) least = Math.min(least, next);
    const count = least - this.#first;
    for (let i = 0; i < count; i++) this.#bytes -= this.#log[i].length;
    this.#log.splice(0, count);
    this.#first = least;
  }

  #forget(): void {
    this.#first += this.#log.length;
    this.#log = [];
    this.#bytes = 0;
  }

  #drop(client: Client): void {
    this.droppedClients++;
    this.#clients.delete(client.socket);
    client.socket.terminate();
  }

  #beat(): void {
    if (this.#clients.size === 0) return;
    const marketTime = this.#state.marketTime();
    this.#send({ type: 'time', marketTime, windows: this.#state.windows(), lagMinutes: this.#state.lagMinutes() });
    for (const client of this.#clients.values()) {
      if (client.silent >= SILENT_HEARTBEATS) this.#drop(client);
      else if (client.silent++ % 10 === 0) client.socket.ping();
    }
  }
}
