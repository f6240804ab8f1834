/** A real nats-server with JetStream on a free loopback port, which can be killed and started again on its files. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const PROGRAM = '/usr/sbin/nats-server';

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  return (address as { port: number }).port;
}

async function answers(port: number, server: ChildProcess): Promise<void> {
  while (true) {
    if (server.exitCode !== null) throw new Error(`nats-server ended with status ${server.exitCode}`);
    const socket = dial(port, '127.0.0.1');
    const open = await Promise.race([
      once(socket, 'data').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export class NatsServer {
  readonly port: number;
  readonly #args: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.#args = args;
  }

  /** @param directory where it keeps its streams; undefined: without JetStream */
  static async start(directory: string | undefined, args: readonly string[] = []): Promise<NatsServer> {
    const jetStream = directory === undefined ? [] : ['-js', '-sd', directory];
    const server = new NatsServer(await freePort(), [...jetStream, ...args]);
    await server.restart();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  async restart(): Promise<void> {
    const args = ['-a', '127.0.0.1', '-p', String(this.port), ...this.#args];
    this.#process = spawn(PROGRAM, args, { stdio: 'ignore' });
    await answers(this.port, this.#process);
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server === undefined || server.exitCode !== null) return;
    server.kill(signal);
    await once(server, 'exit');
  }
}

/** A server with an empty store, gone after the test. */
export async function natsServer(
  t: Pick<TestContext, 'after'>,
  args: readonly string[] = [],
  jetStream = true,
): Promise<NatsServer> {
  const directory = mkdtempSync(join(tmpdir(), 'barcast-nats-'));
  const server = await NatsServer.start(jetStream ? directory : undefined, args);
  t.after(async () => {
    await server.kill();
    rmSync(directory, { recursive: true, force: true });
  });
  return server;
}
