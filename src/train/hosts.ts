/** The hosts of a job: their names with the ranks each takes, and whether they can be reached. */
import { execFile } from 'node:child_process';
import { hostname, networkInterfaces } from 'node:os';
import { BarcastError } from '../base/index.ts';

export interface Host {
  readonly name: string;
  /** Ranks it takes. */
  readonly ranks: number;
}

/** Reads `a,b:2,c`. @throws BARCAST_E_USAGE */
export function parseHosts(text: string): Host[] {
  const hosts = text.split(',').map((part) => {
    const [, name, ranks] = /^([A-Za-z0-9][A-Za-z0-9._-]*)(?::([1-9]\d{0,3}))?$/.exec(part.trim()) ?? [];
    if (name === undefined) {
      throw new BarcastError('BARCAST_E_USAGE', `'${part}' is not a host`, 'write hosts as in --hosts a,b:2');
    }
    return { name, ranks: Number(ranks ?? 1) };
  });
  const twice = hosts.find(({ name }, i) => hosts.findIndex((host) => host.name === name) < i);
  if (twice) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `the host ${twice.name} is named twice`,
      `give it several ranks with ${twice.name}:2`,
    );
  }
  return hosts;
}

/** The host that each rank is on, `[ranks]`: host after host, as mpirun is told to place them. */
export const hostsOfRanks = (hosts: readonly Host[]): string[] =>
  hosts.flatMap(({ name, ranks }) => new Array<string>(ranks).fill(name));

function isThisHost(name: string): boolean {
  if (name === 'localhost' || name === hostname()) return true;
  return Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === name));
}

/** The program that runs a command on another host, with its options: what Open MPI is told to use, or ssh. */
function remoteShell(): string[] {
  const agent = process.env.OMPI_MCA_plm_rsh_agent ?? 'ssh';
  const [program, ...options] = agent.split(':')[0].trim().split(/\s+/);
  const strict = program.endsWith('ssh') ? ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=4'] : [];
  return [program, ...options, ...strict];
}

/** Why a host cannot be reached; undefined when it can. */
export function whyUnreachable(name: string, timeoutMs = 5000): Promise<string | undefined> {
  if (isThisHost(name)) return Promise.resolve(undefined);
  const [program, ...options] = remoteShell();
  return new Promise((resolve) => {
    execFile(program, [...options, name, 'true'], { timeout: timeoutMs, killSignal: 'SIGKILL' }, (error, _, stderr) => {
      if (!error) return resolve(undefined);
      const said = stderr.trim().split('\n').at(-1);
      resolve(error.killed ? `no answer within ${timeoutMs / 1000} s` : said || error.message.split('\n')[0]);
    });
  });
}
