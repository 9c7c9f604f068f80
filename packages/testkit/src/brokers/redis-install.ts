import { join } from 'node:path'
import type { InstallRecipe } from './install.js'
import { installationName, unpackDebianPackages, writeLoaderShim } from './install-debian.js'
import { chooseDebian } from './releases.js'

const PROGRAMS = ['server', 'cli', 'sentinel', 'benchmark', 'check-aof', 'check-rdb']

/** A server of Redis's protocol from Debian's packages: the server, its command line and the other tools in `bin`. */
function serverRecipe(name: 'redis' | 'valkey', wanted: string | undefined): InstallRecipe {
  const choice = chooseDebian(name, wanted)
  return {
    name: installationName(name, choice.suite),
    revision: 1,
    ...(choice.version === undefined ? {} : { version: choice.version }),
    async build(folder, log) {
      const names = [`${name}-server`, `${name}-tools`]
      const unpacked = await unpackDebianPackages(folder, { ...choice, names }, log)
      for (const program of PROGRAMS.map((suffix) => `${name}-${suffix}`))
        await writeLoaderShim(unpacked, join(folder, 'bin', program), `usr/bin/${program}`)
      return unpacked.version
    },
  }
}

/** Redis: `redis-server`, `redis-cli` and the other tools. */
export function redisRecipe(wanted?: string): InstallRecipe {
  return serverRecipe('redis', wanted)
}

/** Valkey: `valkey-server`, `valkey-cli` and the other tools. */
export function valkeyRecipe(wanted?: string): InstallRecipe {
  return serverRecipe('valkey', wanted)
}
