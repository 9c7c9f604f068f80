import { mkdirSync, statSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { BrokerError } from './errors.js'

const PRIVATE = 0o700

/**
 * Creates a folder that only its user may enter, or takes an existing one and closes it to others.
 * Rejects with CONFLICT when the folder belongs to another user, who could put anything into it.
 */
export async function makePrivateFolder(path: string): Promise<void> {
  mkdirSync(path, { recursive: true, mode: PRIVATE })
  const { uid, mode } = statSync(path)
  const own = process.getuid?.()
  if (own !== undefined && uid !== own) {
    throw new BrokerError(
      'CONFLICT',
      `${path} belongs to user ${uid}, and this process runs as user ${own}: choose another folder, or change its owner`,
    )
  }
  if ((mode & 0o777) !== PRIVATE) await chmod(path, PRIVATE)
}
