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
  const { resent } = producer.stats()
  const again = (): { readonly resent?: boolean } => (producer.stats().resent > resent ? { resent: true } : {})
  writer.write(key === undefined ? { did: 'send', id } : { did: 'send', id, key })
  try {
    await producer.send(value, options)
  } catch (error) {
    writer.write({ did: 'refused', id, code: codeOf(error), ...again() })
    return false
  }
  writer.write({ did: 'confirmed', id, ...again() })
  return true
}

/** What a recording handler does besides. */
export interface HandlerRecording {
  /** It acks by hand and writes down whether the transport took it, which needs `ack: 'manual'`. Default false. */
  readonly acks?: boolean
  /** It writes down where the message is stored: for transports whose offsets last (capability `replay`). Default false. */
  readonly offsets?: boolean
}

/** A handler that writes its start and its end down, and does what `handler` does in between. */
export function recordHandler(
  writer: LedgerWriter,
  handler: Handler,
  { acks = false, offsets = false }: HandlerRecording = {},
): Handler {
  let started = 0
  return async (message: Message) => {
    started += 1
    const handling = started
    const { id, key, attempt, partition, offset } = message
    const record = offsets ? { partition, offset } : {}
    writer.write({ did: 'start', handling, id, attempt, ...record, ...(key === undefined ? {} : { key }) })
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
