import { type Handler, isStreamError, type Message, type Producer, type SendOptions } from '@streamswitch/core'
import type { LedgerWriter } from './ledger-writer.js'

/** Sends, and writes the call and its outcome down. Resolves with whether it was confirmed; never rejects. */
export async function recordSend(
  writer: LedgerWriter,
  producer: Producer,
  value: unknown,
  options: SendOptions & { readonly id: string },
): Promise<boolean> {
  const { id, key } = options
  writer.write(key === undefined ? { did: 'send', id } : { did: 'send', id, key })
  try {
    await producer.send(value, options)
  } catch (error) {
    writer.write({ did: 'refused', id, code: codeOf(error) })
    return false
  }
  writer.write({ did: 'confirmed', id })
  return true
}

/**
 * A handler that writes its start and its end down, and does what `handler` does in between. `acks`: it acks by hand and writes
 * down whether the transport took it, which needs `ack: 'manual'`.
 */
export function recordHandler(writer: LedgerWriter, handler: Handler, acks = false): Handler {
  let started = 0
  return async (message: Message) => {
    started += 1
    const handling = started
    const { id, key, attempt, partition, offset } = message
    writer.write({ did: 'start', handling, id, attempt, partition, offset, ...(key === undefined ? {} : { key }) })
    try {
      await handler(message)
    } catch (error) {
      writer.write({ did: 'failed', handling, abandoned: message.signal.aborted, code: codeOf(error) })
      throw error
    }
    writer.write({ did: 'succeeded', handling, abandoned: message.signal.aborted })
    if (acks) await settle(writer, message, handling)
  }
}

async function settle(writer: LedgerWriter, message: Message, handling: number): Promise<void> {
  try {
    await message.ack()
  } catch (error) {
    writer.write({ did: 'unsettled', handling, code: codeOf(error) })
    return
  }
  writer.write({ did: 'settled', handling })
}

function codeOf(error: unknown): string {
  return isStreamError(error) ? error.code : error instanceof Error ? error.name : 'unknown'
}
