import { setTimeout as duration } from 'node:timers/promises'
import type { Message } from '@streamswitch/core'
import type { MakeHandler } from '../faults/worker-spec.js'
import type { Deed } from './deed.js'

/** A worker's handler, which does what its message says. */
const makeHandler: MakeHandler = () => (message: Message) => {
  const { ms = 0 } = message.value as Deed
  if (ms === 0) return act(message)
  return duration(ms).then(() => act(message))
}

function act({ id, attempt, value }: Message): void {
  const { acts = ['succeed'], blockMs = 0 } = value as Deed
  const deed = acts[Math.min(attempt, acts.length) - 1]
  if (deed === 'fail') throw new TypeError(`can't handle ${id}`)
  if (deed === 'kill') process.kill(process.pid, 'SIGKILL')
  if (deed === 'exit') process.exit(3)
  if (deed === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs)
}

export default makeHandler
