import { randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'

/** What `makeCookie` creates; whatever else is in a cookie file may be known to others and is replaced. */
const OWN_COOKIE = /^[0-9a-f]{64}$/

/** A new Erlang cookie: 32 random bytes as hexadecimal digits. Who knows a node's cookie runs any code in it. */
export function makeCookie(): string {
  return randomBytes(32).toString('hex')
}

/**
 * Puts the Erlang cookie of a node into its file, readable by its user alone: `shared` where several nodes have one, else the cookie
 * that the file already has, else a new one.
 */
export async function writeCookie(file: string, shared?: string): Promise<void> {
  const current = await readFile(file, 'utf8').catch(() => '')
  const cookie = shared ?? (OWN_COOKIE.test(current) ? current : makeCookie())
  // Renamed into place: an existing file may be read-only, and its mode may be another.
  await writeFile(`${file}.new`, cookie, { mode: 0o600 })
  await rename(`${file}.new`, file)
}
