import type { Handler, Message } from '../message.js'

/** What an iterator requires of its loop. */
interface Iterated<T> {
  /** Sets the handler; only one runs at a time. */
  handle(handler: Handler<T>): void
  run(): Promise<void>
  /** Closes without waiting for the current message. */
  close(): Promise<void>
}

interface Turn<T> {
  readonly message: Message<T>
  readonly done: () => void
}

/**
 * Fails the handler of a message whose `for await` loop was exited: its body has ended, so it overlaps with no other
 * attempt.
 */
export class IterationExited extends Error {}

/**
 * Exposes a loop as an async iterator: its handler waits until the iteration of its message is over.
 */
export function iterate<T>(loop: Iterated<T>): AsyncIterator<Message<T>, undefined> {
  const arrived: Turn<T>[] = []
  let current: Turn<T> | undefined
  let wake: (() => void) | undefined
  let ended: Promise<void> | undefined
  let over = false
  let exited = false

  const end = (): void => {
    over = true
    wake?.()
  }
  const start = (): void => {
    loop.handle((message) => {
      return new Promise<void>((resolve, reject) => {
        const turn = { message, done: resolve }
        const abandon = (): void => {
          // A message that has not been returned yet must not be returned any more.
          const index = arrived.indexOf(turn)
          if (index >= 0) arrived.splice(index, 1)
          reject(exited ? new IterationExited() : message.signal.reason)
        }
        message.signal.addEventListener('abort', abandon, { once: true })
        arrived.push(turn)
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
      exited = true
      // Received and unfinished messages are returned to the broker: their handlers' signals abort immediately.
      await loop.close()
      return { done: true, value: undefined }
    },
  }
}
