/** What a long command tells while it works: on standard error, a moving line on a terminal and plain lines elsewhere. */

export interface Progress {
  /** A line that stays. */
  say(line: string): void;
  /** How far a phase is; shown at most a few times a second on a terminal and every few seconds elsewhere. */
  update(phase: string, done: number, total: number, note?: string): void;
  /** Ends a moving line. */
  finish(): void;
}

export const silentProgress: Progress = { say() {}, update() {}, finish() {} };

/** Progress on a stream: `process.stderr` for a command. */
export function streamProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const terminal = stream.isTTY === true;
  const intervalMs = terminal ? 100 : 5000;
  let shownAt = 0;
  let moving = false;
  let phaseShown = '';
  const finish = () => {
    if (moving) stream.write('\n');
    moving = false;
  };
  return {
    say(line) {
      finish();
      stream.write(`${line}\n`);
    },
    update(phase, done, total, note = '') {
      const now = performance.now();
      const last = done >= total;
      if (phase === phaseShown && !last && now - shownAt < intervalMs) return;
      phaseShown = phase;
      shownAt = now;
      const share = total > 0 ? done / total : 1;
      const numbers = `${done.toLocaleString('en-US')}/${total.toLocaleString('en-US')} ${note}`.trimEnd();
      if (!terminal) {
        stream.write(`${phase}: ${numbers}\n`);
        return;
      }
      const filled = Math.round(24 * Math.min(1, share));
      stream.write(`\r\x1b[K${phase} ${'█'.repeat(filled)}${'░'.repeat(24 - filled)} ${numbers}`);
      moving = true;
      if (last) finish();
    },
    finish,
  };
}
