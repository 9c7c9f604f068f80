import type { EventEmitter } from 'node:events'

/**
 * Settles as the answer to a probe does, or resolves earlier, when anything arrives on the connection: behind an answer
 * or a delivery that takes long on a slow link a probe gets no answer, although the connection works. A later outcome
 * of the answer is ignored.
 *
 * @param socket - emits `data`, and is already being read.
 * @param heartbeatBytes - chunks up to this size don't count: they may be heartbeats. Default 0: there are none.
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
