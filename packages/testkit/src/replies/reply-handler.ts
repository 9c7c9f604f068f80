import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Message } from '@streamswitch/core'
import type { MakeHandler } from '../faults/worker-spec.js'

/** Parts that each start of the handler sends. */
export const PARTS = 3

/** What the ids of requests begin with whose first handler never ends. */
export const HANGING = 'hanging'

/** The end of a file's name in the ledger's folder, behind the request's id: all parts of the hanging handler are with the transport. */
export const ALL_SENT = '.sent'

/** One part, and which process it comes from. */
export interface Part {
  readonly process: number
  readonly part: number
}

/** A worker's handler: it answers in parts. At a hanging request the first one that has it stays there after its last part. */
const makeHandler: MakeHandler = ({ ledger }) => {
  return async (message: Message) => {
    const mark = join(ledger, message.id)
    const hangs = message.id.startsWith(HANGING) && !existsSync(mark)
    if (hangs) writeFileSync(mark, '')
    for (let part = 1; part <= PARTS; part += 1) await message.respond({ process: process.pid, part } satisfies Part)
    if (!hangs) return
    writeFileSync(`${mark}${ALL_SENT}`, '')
    await new Promise(() => {})
  }
}

export default makeHandler
