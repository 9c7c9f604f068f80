import type { Message } from '../message.js'
import type { ConsumerLoop } from './consumer-loop.js'

interface Turn<T> {
  readonly message: Message<T>
  readonly done: () => void
}

/** A loop as an async iterator: its handler waits until the message's turn in the `for await` is over. */
export function iterate<T>(loop: ConsumerLoop<T>): AsyncIterator<Message<T>, undefined> {
  const arrived: Turn<T>[] = []
  let current: Turn<T> | undefined
  let wake: (() => void) | undefined
  let ended: Promise<void> | undefined
  let over = false

  const end = (): void => {
    over = true
    wake?.()
  }
  const start = (): void => {
    loop.handle((message) => {
      return new Promise<void>((resolve, reject) => {
        message.signal.addEventListener('abort', () => reject(message.signal.reason), { once: true })
        arrived.push({ message, done: resolve })
        wake?.()
      })
    })
    ended = loop.run().finally(end)
    ended.catch(() => {})
  }

  return {
    async next() {
      if (ended === undefined) start()
      current?.done()
      current = undefined
      while (arrived.length === 0 && !over) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        wake = undefined
      }
      current = over ? undefined : arrived.shift()
      if (current !== undefined) return { done: false, value: current.message }
      await ended
      return { done: true, value: undefined }
    },
    async return() {
      // What was taken and not finished goes back: its handlers' signals abort at once.
      await loop.close({ timeoutMs: 0 })
      return { done: true, value: undefined }
    },
  }
}
