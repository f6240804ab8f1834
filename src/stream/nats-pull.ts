/**
 * How long a consumer is asked for messages at a time, and what ends it.
 *
 * nats-server 2.9 forgets a request that runs out while it delivers, without a word; the client notices when two
 * heartbeats are missing, and what comes meanwhile waits. So requests run out as seldom as can be, and not a whole
 * number of minutes after they were made: a market's bars come on the minute, and requests are renewed when they come.
 */
import type { ConsumerMessages } from '@nats-io/jetstream';
import type { Nats } from './nats-connection.ts';

/** The server says in between that it is there; where it does not, {@link endWhenLost} ends the asking. */
export const LASTING_REQUEST = { expires: 59 * 60_000 + 37_000, idle_heartbeat: 1000 } as const;

/**
 * Ends messages as soon as the server was away or is silent. The client by itself would go on with the consumer if it
 * is there still, and otherwise look again only after the whole time of a request.
 */
export function endWhenLost({ onReturn }: Nats, messages: ConsumerMessages): void {
  const end = () => messages.stop();
  onReturn.add(end);
  void messages.closed().then(() => onReturn.delete(end));
  void (async () => {
    for await (const { type } of messages.status()) if (type === 'heartbeats_missed') end();
  })();
}
