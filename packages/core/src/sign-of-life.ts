import type { EventEmitter } from 'node:events'

/**
 * Settles as the answer to a probe does, or resolves before, when anything at all arrives on the connection: behind an answer or a
 * delivery that takes long on a slow link there is none to a probe, and the connection lives all the same. What the answer does
 * later is ignored.
 *
 * @param socket - emits `data`, and is being read already.
 * @param heartbeatBytes - pieces that are no larger say nothing: they may be heartbeats. Default 0: there are none.
 */
export async function signOfLife(socket: EventEmitter, answer: Promise<unknown>, heartbeatBytes = 0): Promise<void> {
  let arrived: (data: Buffer) => void = () => {}
  const sign = new Promise<void>((resolve) => {
    arrived = (data) => {
      if (data.length > heartbeatBytes) resolve()
    }
  })
  socket.on('data', arrived)
  try {
    await Promise.race([answer, sign])
  } finally {
    socket.off('data', arrived)
  }
}
