import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BrokerName } from './definition.js'
import { BrokerError } from './errors.js'
import { temporaryDataPrefix } from './paths.js'
import { makePrivateFolder } from './private-folder.js'

const MARKER = '.streamswitch-broker.json'

/** What the launcher remembers in a data folder. */
interface Marker {
  readonly broker: BrokerName
  readonly warm: boolean
}

/** A folder for a broker's data, configuration and log. */
export interface DataFolder {
  readonly path: string
  /** Nobody chose it: it is removed when the broker is. */
  readonly temporary: boolean
}

function readMarker(path: string): Marker | undefined {
  try {
    return JSON.parse(readFileSync(join(path, MARKER), 'utf8')) as Marker
  } catch {
    return undefined
  }
}

async function writeMarker(path: string, marker: Marker): Promise<void> {
  await writeFile(join(path, MARKER), `${JSON.stringify(marker)}\n`)
}

/**
 * Makes a data folder ready: a new temporary one when `chosen` is undefined, else that one, emptied first if `fresh`. Only its user may
 * enter it: it holds the broker's secrets, log and messages.
 * Rejects with CONFLICT when the folder holds anything that this launcher did not put there, or another broker's data, or belongs to
 * another user.
 */
export async function openDataFolder(
  broker: BrokerName,
  chosen: string | undefined,
  fresh: boolean,
): Promise<DataFolder> {
  if (chosen === undefined) {
    const path = await mkdtemp(temporaryDataPrefix(broker))
    await writeMarker(path, { broker, warm: false })
    return { path, temporary: true }
  }
  const path = resolve(chosen)
  const marker = readMarker(path)
  const isForeign = existsSync(path) && readdirSync(path).length > 0 && marker?.broker !== broker
  if (isForeign) {
    const content = marker === undefined ? 'files that are not a broker of ours' : `data of ${marker.broker}`
    throw new BrokerError('CONFLICT', `${path} holds ${content}; choose an empty folder for ${broker}`)
  }
  if (fresh) await rm(path, { recursive: true, force: true })
  await makePrivateFolder(path)
  if (fresh || marker === undefined) await writeMarker(path, { broker, warm: false })
  return { path, temporary: false }
}

/** Whether the work that is due once per data folder has been done. */
export function isWarm(path: string): boolean {
  return readMarker(path)?.warm === true
}

/** Remembers that the work that is due once per data folder has been done. */
export async function markWarm(path: string, broker: BrokerName): Promise<void> {
  await writeMarker(path, { broker, warm: true })
}

/** Removes a data folder, but only if it is marked as this broker's. */
export async function removeDataFolder(path: string, broker: BrokerName): Promise<void> {
  if (readMarker(path)?.broker === broker) await rm(path, { recursive: true, force: true })
}
