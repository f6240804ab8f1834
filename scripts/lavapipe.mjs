/**
 * Lavapipe, Mesa's GPU in software, for the tests: unlike the SwiftShader of Chromium it has half precision, and
 * subgroups of another width.
 *
 * Debian has one that is new enough in the backports of its release. Its package is fetched with apt's own tools, from
 * where the system gets its packages, and laid out under build/lavapipe: neither the list of sources nor what is
 * installed changes, but for libraries of the release itself that it may lack. Done once; a machine that cannot have it
 * gets the reason in one line, and the tests that need it are skipped with it.
 *
 *     node scripts/lavapipe.mjs
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const MANIFEST = join('usr', 'share', 'vulkan', 'icd.d');

/** @param {string} program @param {string[]} args @param {string} [cwd] @returns {string} its output */
function ask(program, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 300_000 });
  if (error || status !== 0) {
    const said = (stderr ?? '').trim().split('\n').at(-1);
    throw new Error(`${program} ${args.at(-1)}: ${error?.message ?? (said || `it ended with ${status}`)}`);
  }
  return stdout;
}

/** Where the system gets Debian's release, and its code name. */
function release() {
  const format = '$(ORIGIN)|$(CODENAME)|$(REPO_URI)';
  const lists = ask('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  for (const line of lists.split('\n')) {
    const [origin, codename, uri] = line.split('|');
    if (origin === 'Debian' && /^[a-z]+$/.test(codename)) return { codename, uri };
  }
  throw new Error('this system gets no packages from Debian');
}

/** The package laid out in `folder`. @param {string} folder */
function unpack(folder) {
  const { codename, uri } = release();
  const state = join(folder, 'apt');
  mkdirSync(join(state, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(state, 'cache', 'archives', 'partial'), { recursive: true });
  const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : '';
  const sources = join(state, 'sources.list');
  writeFileSync(sources, `deb ${signed}${uri} ${codename}-backports main\n`);
  const apart = [
    `Dir::State=${state}`,
    `Dir::Cache=${join(state, 'cache')}`,
    `Dir::Etc::SourceList=${sources}`,
    'Dir::Etc::SourceParts=/dev/null',
    'APT::Sandbox::User=',
  ].flatMap((option) => ['-o', option]);
  ask('apt-get', [...apart, '-qq', 'update']);
  ask('apt-get', [...apart, '-qq', 'download', `mesa-vulkan-drivers/${codename}-backports`], state);
  const file = readdirSync(state).find((name) => name.endsWith('.deb'));
  if (file === undefined) throw new Error('apt-get fetched no package');
  ask('dpkg', ['-x', join(state, file), folder]);
  rmSync(state, { recursive: true });
}

/** The driver's library under a folder. @param {string} folder */
function libraryIn(folder) {
  const places = ask('find', [folder, '-name', 'libvulkan_lvp.so']).trim().split('\n');
  if (places[0] === '') throw new Error('the package has no libvulkan_lvp.so');
  return places[0];
}

const lacksLibraries = (/** @type {string} */ library) => ask('ldd', [library]).includes('not found');

/**
 * Answers why there is no Lavapipe; nothing where it is there. @param {string} root @param {(line: string) => void} say
 */
export function fetchLavapipe(root, say) {
  const folder = join(root, 'build', 'lavapipe');
  const ready = join(folder, 'lvp_icd.json');
  if (process.platform !== 'linux' || existsSync(ready)) return undefined;
  mkdirSync(join(root, 'build'), { recursive: true });
  const temporary = mkdtempSync(join(root, 'build', 'lavapipe-'));
  try {
    say('set-up: fetching a GPU in software (mesa-vulkan-drivers of the backports, apt-get) ...');
    unpack(temporary);
    const packed = libraryIn(temporary);
    if (lacksLibraries(packed)) {
      // The release's own package of that name needs the same ones.
      ask('apt-get', ['-qq', 'update']);
      ask('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'mesa-vulkan-drivers']);
      if (lacksLibraries(packed)) throw new Error(`${ask('ldd', [packed]).match(/\S+ => not found/)?.[0]}`);
    }
    renameSync(packed, join(temporary, 'libvulkan_lvp.so'));
    const [name] = readdirSync(join(temporary, MANIFEST)).filter((file) => file.startsWith('lvp_icd'));
    const manifest = JSON.parse(readFileSync(join(temporary, MANIFEST, name), 'utf8'));
    manifest.ICD.library_path = './libvulkan_lvp.so';
    writeFileSync(join(temporary, 'lvp_icd.json'), JSON.stringify(manifest));
    rmSync(join(temporary, 'usr'), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
    return undefined;
  } catch (error) {
    return `no Lavapipe: ${/** @type {Error} */ (error).message}`;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (/** @type {string} */ line) => process.stderr.write(`${line}\n`);
  const reason = fetchLavapipe(fileURLToPath(new URL('..', import.meta.url)), say);
  say(reason ?? 'Lavapipe is there: build/lavapipe/lvp_icd.json');
  process.exitCode = reason === undefined ? 0 : 1;
}
