import type { Handler, Message } from '../message.js'

/** What an iterator asks of its loop. */
interface Iterated<T> {
  /** Sets the handler, of which one is at work at a time. */
  handle(handler: Handler<T>): void
  run(): Promise<void>
  /** Closes without waiting for the message at hand. */
  close(): Promise<void>
}

interface Turn<T> {
  readonly message: Message<T>
  readonly done: () => void
}

/** Fails the handler of a message whose `for await` loop was exited: its body has ended, so it overlaps with no other attempt. */
export class IterationExited extends Error {}

/** A loop as an async iterator: its handler waits until the message's turn in the `for await` is over. */
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
          // What nobody has seen yet must not be seen any more.
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
      // What was taken and not finished goes back: its handlers' signals abort at once.
      await loop.close()
      return { done: true, value: undefined }
    },
  }
}
