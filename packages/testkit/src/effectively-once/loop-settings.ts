import type { MakeSettings } from '../faults/worker-spec.js'
import { effectsOf } from './effects.js'

/** What makes the effects of a consumer happen once. */
const makeSettings: MakeSettings = (spec) => ({ dedupe: { transaction: effectsOf(spec).once } })

export default makeSettings
