import { setTimeout as duration } from 'node:timers/promises'
import type { MakeHandler } from '../faults/worker-spec.js'
import { effectsOf } from './effects.js'

/** What a consumer of the scenario does with a message: a row, some time, which is when most kills hit, and its end. */
const makeHandler: MakeHandler = (spec) => {
  const effects = effectsOf(spec)
  const group = spec.role.kind === 'consumer' ? spec.role.group : ''
  return async (message) => {
    effects.write(message, group)
    await duration(2)
  }
}

export default makeHandler
