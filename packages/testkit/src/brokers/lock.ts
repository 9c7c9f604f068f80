import { createHash, randomBytes } from 'node:crypto'
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { makePrivateFolder } from './private-folder.js'

const SECRET = '.lock-secret'

/**
 * Runs `action` while no other process of this machine runs one for the same folder under the same name, waiting for its turn. The
 * folder is created if need be, and closed to other users.
 *
 * The lock is a listening socket in Linux's abstract namespace: the kernel frees it when the holder ends in whatever
 * way, so no stale lock is ever left behind, and those who wait learn of the end because their connection closes.
 */
export async function withMachineLock<T>(
  folder: string,
  name: string,
  action: () => Promise<T>,
  onWait?: () => void,
): Promise<T> {
  await makePrivateFolder(folder)
  const address = `\0${lockAddress(folder, name)}`
  let server = await tryListen(address)
  if (server === undefined) onWait?.()
  while (server === undefined) {
    await untilReleased(address)
    server = await tryListen(address)
  }
  const held = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => {
    held.add(socket)
    socket.on('error', () => held.delete(socket))
    socket.on('close', () => held.delete(socket))
  })
  try {
    return await action()
  } finally {
    server.close()
    for (const socket of held) socket.destroy()
  }
}

/**
 * The name of a lock's socket in the abstract namespace, without the leading zero byte. It is derived from a secret in the folder: by a
 * name that can be guessed, another user of the machine could take the lock first and keep it.
 */
export function lockAddress(folder: string, name: string): string {
  const digest = createHash('sha256')
    .update(`${lockSecret(folder)} ${name}`)
    .digest('hex')
  return `streamswitch-${digest.slice(0, 32)}`
}

/** The secret of a folder's locks, the same for all processes. */
function lockSecret(folder: string): string {
  const file = join(folder, SECRET)
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const candidate = `${file}-${randomBytes(8).toString('hex')}`
  writeFileSync(candidate, randomBytes(32).toString('hex'), { mode: 0o600 })
  try {
    // A link appears with its whole content, and only once: who comes second reads the first one's.
    linkSync(candidate, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(candidate)
  }
  return readFileSync(file, 'utf8')
}

function tryListen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen(address, () => resolve(server))
  })
}

function untilReleased(address: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(address)
    socket.on('error', () => {
      // The holder has just gone; 'close' follows.
    })
    socket.on('close', () => resolve())
    socket.resume()
  })
}
