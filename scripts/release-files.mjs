// What a release consists of. Node.js alone runs this where packages may be published.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ScriptFailure } from './run.mjs'
import { ROOT } from './workspace.mjs'

/** Where releases are packed. */
export const RELEASE_FOLDER = join(ROOT, 'release')
/** The checksums of all other files there. */
export const SUMS = 'SHA256SUMS'

/**
 * How pnpm calls a package's archive, without its ending.
 *
 * @param {import('./workspace.mjs').Manifest} manifest
 */
export function archiveName({ name, version }) {
  return `${name.replace('@', '').replace('/', '-')}-${version}`
}

/** @param {string} file */
export function sha256(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

/**
 * The files of a release. Throws where one isn't what it was when it was packed.
 *
 * @param {string} [folder]
 * @returns {string[]} Names, without `SHA256SUMS`.
 */
export function readRelease(folder = RELEASE_FOLDER) {
  const lines = readFileSync(join(folder, SUMS), 'utf8').trim().split('\n')
  return lines.map((line) => {
    const [, sum, name = ''] = /^([0-9a-f]{64}) {2}([\w.-]+)$/.exec(line) ?? []
    if (sum === undefined || sha256(join(folder, name)) !== sum)
      throw new ScriptFailure(`a file of ${folder} is not what was packed: ${line}`)
    return name
  })
}
