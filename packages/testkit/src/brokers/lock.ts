import { createHash } from 'node:crypto'
import { connect, createServer, type Server } from 'node:net'

/**
 * Runs `action` while no other process of this machine runs one under the same name, waiting for its turn.
 *
 * The lock is a listening socket in Linux's abstract namespace: the kernel frees it when the holder ends in whatever
 * way, so no stale lock is ever left behind, and those who wait learn of the end because their connection closes.
 */
export async function withMachineLock<T>(name: string, action: () => Promise<T>, onWait?: () => void): Promise<T> {
  const address = `\0${lockAddress(name)}`
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

/** The name of a lock's socket in the abstract namespace, without the leading zero byte. */
export function lockAddress(name: string): string {
  return `streamswitch-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`
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
