import { mutantsAreFound } from '@streamswitch/testkit/simulation'
import { COPIES, MUTANTS, SOURCES } from './mutants.js'
import { rabbitmqStream } from './rabbitmq-stream.js'
import { loadSources } from './sources.js'

mutantsAreFound({
  mutants: MUTANTS,
  sources: SOURCES,
  copies: COPIES,
  load: async (folder) => rabbitmqStream(await loadSources(folder)),
})
