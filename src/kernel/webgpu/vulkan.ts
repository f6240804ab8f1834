/**
 * Whether Linux has what Dawn needs. Dawn and the Vulkan loader print warnings where something is missing: looking
 * first turns them into one reason.
 */
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Driver manifests as the loader finds them (Vulkan-Loader, LoaderDriverInterface.md). */
function drivers(): string[] {
  const named = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  if (named !== undefined) return named.split(delimiter).filter((file) => existsSync(file));
  const list = (variable: string, usual: string) => (process.env[variable] || usual).split(delimiter);
  const roots = [
    ...list('XDG_CONFIG_HOME', join(homedir(), '.config')),
    ...list('XDG_CONFIG_DIRS', '/etc/xdg'),
    '/etc',
    ...list('XDG_DATA_HOME', join(homedir(), '.local/share')),
    ...list('XDG_DATA_DIRS', ['/usr/local/share', '/usr/share'].join(delimiter)),
  ];
  const added = (process.env.VK_ADD_DRIVER_FILES ?? '').split(delimiter).filter((file) => file && existsSync(file));
  return [
    ...added,
    ...roots.flatMap((root) => {
      try {
        return readdirSync(join(root, 'vulkan', 'icd.d')).filter((file) => file.endsWith('.json'));
      } catch {
        return [];
      }
    }),
  ];
}

/** What is missing, in one line; nothing where all is there or the system is another. */
export async function missingVulkan(): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const { default: koffi } = await import('koffi');
    koffi.load('libvulkan.so.1');
  } catch {
    return "there is no Vulkan loader (libvulkan.so.1): install the GPU's driver, and libvulkan1 on Debian";
  }
  return drivers().length > 0 ? undefined : "there is no Vulkan driver: install the GPU's";
}
