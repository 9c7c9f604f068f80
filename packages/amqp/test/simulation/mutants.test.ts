import { mutantsAreFound } from '@streamswitch/testkit/simulation'
import { amqp } from './amqp.js'
import { COPIES, MUTANTS, SOURCES } from './mutants.js'
import { loadSources } from './sources.js'

// Errors are made by the thousand, and nobody reads where.
Error.stackTraceLimit = 0

mutantsAreFound({
  mutants: MUTANTS,
  sources: SOURCES,
  copies: COPIES,
  load: async (folder) => amqp(await loadSources(folder)),
})
