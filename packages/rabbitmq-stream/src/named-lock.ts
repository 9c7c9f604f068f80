import { setTimeout as delay } from 'node:timers/promises'
import { Offset, type StreamClient } from './client-patches/stream-client.js'

/**
 * A lock among all clients of a broker: a single active consumer that is never sent anything. The broker frees it when its
 * connection ends. Resolves with what frees it before that, or with `undefined` where somebody else held it for `waitMs`.
 */
export async function acquireLock(
  client: StreamClient,
  stream: string,
  name: string,
  waitMs: number,
): Promise<(() => Promise<void>) | undefined> {
  let activated: () => void = () => {}
  const held = new Promise<true>((resolve) => {
    activated = () => resolve(true)
  })
  const handle = await client.subscribe(
    { stream, offset: Offset.next(), credit: 0, singleActive: true, consumerRef: name },
    {
      update: (connection, { correlationId, active }) => {
        client.answerUpdate(connection, correlationId, Offset.next())
        if (active) activated()
      },
    },
  )
  const waiting = new AbortController()
  const won = await Promise.race([held, delay(waitMs, false, { signal: waiting.signal }).catch(() => false)])
  waiting.abort()
  const release = (): Promise<void> => client.unsubscribe(handle)
  if (won) return release
  await release()
  return undefined
}
