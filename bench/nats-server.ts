/** A nats-server with JetStream on an empty folder and a free loopback port, for the time of a benchmark. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BarcastError } from '../src/base/index.ts';
import { natsBus } from '../src/stream/index.ts';

/** @throws BARCAST_E_BUS when there is no nats-server on the PATH */
export async function startNatsServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  const directory = mkdtempSync(join(tmpdir(), 'barcast-bench-'));
  const server = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', directory], {
    stdio: 'ignore',
    // As docs/how-to/several-machines.md starts it.
    env: { GOGC: '400', ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  const failed = once(server, 'error').then(([error]) => {
    throw new BarcastError('BARCAST_E_BUS', `nats-server does not start (${error.message})`, 'install nats-server');
  });
  failed.catch(() => {});
  const url = `nats://127.0.0.1:${port}`;
  const answers = async () => {
    for (let tries = 0; tries < 100; tries++) {
      try {
        return await (await natsBus({ url })).close();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await Promise.race([answers(), failed]);
  return {
    url,
    async stop() {
      server.kill();
      await once(server, 'exit');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
