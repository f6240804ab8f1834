/**
 * A connection to a NATS server or cluster with JetStream, and the streams that barcast keeps there.
 *
 * The client comes back by itself, for as long as it takes, to whichever server of the cluster answers. Only what
 * NATS 2.9 knows is used: no filters by list, no stream metadata, no priority groups.
 */
import { type JetStreamManager, jetstreamManager, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import { BarcastError } from '../base/index.ts';
import type { Topic } from './bus.ts';
import { MESSAGE_LIMIT } from './nats-wire.ts';

export interface NatsOptions {
  /** `nats://[user:password@]host:port`, several separated by commas; `tls://` for an encrypted connection. */
  readonly url: string;
  /** Shown in the server's list of connections. */
  readonly name?: string;
  /** Servers that keep each stream, when barcast makes the streams: 1, or 3 on a cluster that may lose one. */
  readonly replicas?: number;
  /** Told when the connection is lost, is back, or a message waits for the server. One line each. */
  readonly notice?: (line: string) => void;
}

export interface Nats {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** Called whenever the connection is back after it was lost. */
  readonly onReturn: Set<() => void>;
}

const OLDEST_SERVER = [2, 9] as const;
const RECONNECT_MS = 200;
const DAY_MS = 86_400_000;
/** How long a message id is remembered, which makes a repeat harmless; sixty times as long as a batch may go without an answer. */
export const DUPLICATE_WINDOW_MS = 120_000;

const STREAM_OF: Readonly<Record<Topic, string>> = { bars: 'BARS', forecasts: 'FORECASTS', shadow: 'SHADOW' };
export const streamOf = (topic: Topic): string => STREAM_OF[topic];
/** The log of which bars of BARS make a batch, and the queue of the work; see `batch-log.ts`. */
export const BATCHES = 'BATCHES';
export const BATCHES_SUBJECT = 'batches';

/**
 * Messages of one subject, a symbol's, that a stream keeps. nats-server 2.9 writes a stream that is bounded so, and not
 * by messages in all or bytes, to files of 4 MB instead of 8: growing the buffer of a file to its full size is what the
 * slowest forecasts waited for.
 */
const MOST_OF_A_SYMBOL = 1_000_000;

/** Every stream is bounded: by age, and by messages against a flood. The log of batches always keeps its newest record. */
const STREAMS = [
  { name: 'BARS', subjects: ['bars.>'], days: 7, most: MOST_OF_A_SYMBOL },
  { name: 'FORECASTS', subjects: ['forecasts.>'], days: 30, most: MOST_OF_A_SYMBOL },
  { name: 'SHADOW', subjects: ['shadow.>'], days: 30, most: MOST_OF_A_SYMBOL },
  { name: BATCHES, subjects: [BATCHES_SUBJECT], days: 0, most: 2_000_000 },
];

/** Connects, checks the server and makes the streams that are not there. @throws BARCAST_E_NETWORK, BARCAST_E_BUS, BARCAST_E_USAGE */
export async function connectNats(options: NatsOptions): Promise<Nats> {
  const { servers, user, pass, tls } = parseServers(options.url);
  let connection: NatsConnection;
  try {
    connection = await connect({
      servers,
      user,
      pass,
      tls,
      name: options.name ?? 'barcast',
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_MS,
      ignoreClusterUpdates: false,
    });
  } catch (error) {
    if (/authorization|authentication/i.test((error as Error).message))
      throw new BarcastError(
        'BARCAST_E_BUS',
        `the NATS server at ${servers.join(', ')} does not let us in`,
        'name the user and password it knows, as in --bus nats://user:password@host:4222',
        { cause: error },
      );
    throw new BarcastError(
      'BARCAST_E_NETWORK',
      `no NATS server answers at ${servers.join(', ')} (${(error as Error).message})`,
      'start nats-server with JetStream there, or name another with --bus',
      { cause: error },
    );
  }
  try {
    const manager = await checkServer(connection);
    await ensureStreams(manager, options.replicas ?? 1);
    const onReturn = new Set<() => void>();
    void followStatus(connection, onReturn, options.notice);
    return { connection, manager, onReturn };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

const FAREWELL_MS = 500;

/** Ends the connection. A server that just died is noticed first: the client must not write to a socket that has ended. */
export async function disconnectNats({ connection }: Nats): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FAREWELL_MS);
  });
  await Promise.race([connection.flush().catch(() => {}), enough]);
  clearTimeout(timer);
  await connection.close();
}

function parseServers(url: string) {
  const usage = () =>
    new BarcastError('BARCAST_E_USAGE', `'${url}' is no address of a bus`, "write 'memory' or nats://host:4222");
  const parsed = url.split(',').map((part) => {
    try {
      const address = new URL(part.trim());
      if (!/^(nats|tls):$/.test(address.protocol) || address.hostname === '') throw usage();
      return address;
    } catch {
      throw usage();
    }
  });
  const [first] = parsed;
  const secret = (text: string) => (text === '' ? undefined : decodeURIComponent(text));
  return {
    servers: parsed.map(({ hostname, port }) => `${hostname}:${port || 4222}`),
    user: secret(first.username),
    pass: secret(first.password),
    tls: parsed.some(({ protocol }) => protocol === 'tls:') ? {} : undefined,
  };
}

async function checkServer(connection: NatsConnection): Promise<JetStreamManager> {
  const version = connection.info?.version ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (!(major > OLDEST_SERVER[0] || (major === OLDEST_SERVER[0] && minor >= OLDEST_SERVER[1]))) {
    throw new BarcastError(
      'BARCAST_E_BUS',
      `the NATS server is version ${version}`,
      `use ${OLDEST_SERVER.join('.')} or later`,
    );
  }
  try {
    const manager = await jetstreamManager(connection);
    await manager.getAccountInfo();
    return manager;
  } catch (error) {
    throw new BarcastError(
      'BARCAST_E_BUS',
      `the NATS server has no JetStream for us (${(error as Error).message})`,
      "start it with 'nats-server -js -sd DIR', and let this user publish to $JS.API.>",
      { cause: error },
    );
  }
}

/** Streams that somebody made beforehand stay as they are, as long as they take our subjects. */
async function ensureStreams(manager: JetStreamManager, replicas: number): Promise<void> {
  for (const { name, subjects, days, most } of STREAMS) {
    try {
      const info = await manager.streams.info(name).catch(() => undefined);
      if (info !== undefined) {
        if (subjects.every((subject) => info.config.subjects?.includes(subject))) continue;
        throw new Error(`it is there with the subjects ${info.config.subjects?.join(', ')}`);
      }
      await manager.streams.add({
        name,
        subjects,
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
        num_replicas: replicas,
        max_age: nanos(days * DAY_MS),
        max_msgs_per_subject: most,
        max_msg_size: MESSAGE_LIMIT,
        duplicate_window: nanos(DUPLICATE_WINDOW_MS),
        allow_direct: true,
      });
    } catch (error) {
      throw new BarcastError(
        'BARCAST_E_BUS',
        `the stream ${name} cannot be used (${(error as Error).message})`,
        `make it yourself on ${subjects.join(', ')}, or let this user make it`,
        { cause: error },
      );
    }
  }
}

async function followStatus(
  connection: NatsConnection,
  onReturn: ReadonlySet<() => void>,
  notice: (line: string) => void = () => {},
): Promise<void> {
  for await (const status of connection.status()) {
    const { type } = status;
    if (type === 'error') notice(`the NATS server says: ${status.error.message}`);
    if (type === 'disconnect') notice('the connection to the NATS server is lost; it is tried again');
    if (type !== 'reconnect') continue;
    for (const tell of onReturn) tell();
    notice(`the NATS server is back (${connection.getServer()})`);
  }
}
