/**
 * Several hosts on one machine: network namespaces joined by a bridge, each with an address, a host name of its own and
 * a link that can be cut, slowed down and made to lose packets. Needs root on Linux.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Hosts {
  /** Addresses, which are also their names in --hosts. */
  readonly names: readonly string[];
  /** What makes mpirun start ranks in them and talk over their network alone. */
  readonly environment: Readonly<Record<string, string>>;
  /** Takes a host off the network, or puts it back. */
  link(host: number, state: 'up' | 'down'): void;
  /** Puts a queue discipline on a host's link; answers whether the kernel has it. */
  shape(host: number, ...discipline: string[]): boolean;
  close(): void;
}

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

/** Why there can be none here; undefined when there can. */
export function whyNoHosts(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'network namespaces need root on Linux';
  const name = `bc${process.pid}x`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return undefined;
  } catch (error) {
    return `no network namespaces here: ${(error as Error).message.split('\n').at(-1)}`;
  }
}

export function makeHosts(count: number): Hosts {
  const prefix = `bc${process.pid}`;
  const net = `10.231.${process.pid % 250}`;
  const folder = mkdtempSync(join(tmpdir(), 'barcast-hosts-'));
  const agent = join(folder, 'shell');
  const space = (host: number) => `${prefix}n${host}`;
  const veth = (host: number) => `${prefix}v${host}`;
  ip('link', 'add', `${prefix}b`, 'type', 'bridge');
  ip('link', 'set', `${prefix}b`, 'up');
  ip('addr', 'add', `${net}.254/24`, 'dev', `${prefix}b`);
  for (let host = 1; host <= count; host++) {
    ip('netns', 'add', space(host));
    ip('link', 'add', veth(host), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space(host));
    ip('link', 'set', veth(host), 'master', `${prefix}b`, 'up');
    ip('-n', space(host), 'addr', 'add', `${net}.${host}/24`, 'dev', 'eth0');
    ip('-n', space(host), 'link', 'set', 'eth0', 'up');
    ip('-n', space(host), 'link', 'set', 'lo', 'up');
  }
  // In the place of ssh: drops its options, takes the host, fails when the link is cut, and runs the rest there.
  const shell = `#!/bin/bash
while [[ $1 == -* ]]; do case $1 in -o|-l|-p) shift 2;; *) shift;; esac; done
host=\${1##*.}; shift
[[ $(cat /sys/class/net/${prefix}v$host/operstate) == up ]] || { echo "no route to host" >&2; exit 255; }
exec ip netns exec ${prefix}n$host unshare --uts bash -c "hostname host$host; $*"
`;
  writeFileSync(agent, shell);
  chmodSync(agent, 0o755);
  const subnet = `${net}.0/24`;
  return {
    names: Array.from({ length: count }, (_, i) => `${net}.${i + 1}`),
    environment: {
      OMPI_MCA_plm_rsh_agent: agent,
      OMPI_MCA_btl: 'tcp,self',
      OMPI_MCA_btl_tcp_if_include: subnet,
      OMPI_MCA_oob_tcp_if_include: subnet,
    },
    link: (host, state) => void ip('link', 'set', veth(host + 1), state),
    shape(host, ...discipline) {
      try {
        execFileSync(
          'ip',
          ['netns', 'exec', space(host + 1), 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', ...discipline],
          {
            stdio: 'ignore',
          },
        );
        return true;
      } catch {
        return false;
      }
    },
    close() {
      for (let host = 1; host <= count; host++) ip('netns', 'del', space(host));
      ip('link', 'del', `${prefix}b`);
      rmSync(folder, { recursive: true });
    },
  };
}
