import type { Message } from '@streamswitch/core'
import type { MakeHandler } from '../faults/worker-spec.js'

/** What the ids of messages begin with that kill whoever handles them, and of those that always fail. */
export const DEADLY = 'deadly'
export const FAILING = 'failing'

/** A worker's handler. A deadly message ends the process as a crash does: at once, with others at work and nothing tidied up. */
const makeHandler: MakeHandler = () => (message: Message) => {
  if (message.id.startsWith(DEADLY)) process.kill(process.pid, 'SIGKILL')
  if (message.id.startsWith(FAILING)) throw new TypeError(`can't handle ${message.id}`)
}

export default makeHandler
