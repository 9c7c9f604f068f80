import { mutantsAreFound } from '@streamswitch/testkit/simulation'
import { LuaEngine } from './lua-engine.js'
import { COPIES, MUTANTS, SOURCES } from './mutants.js'
import { redis } from './redis.js'
import { loadSources } from './sources.js'

const engine = await LuaEngine.create()

mutantsAreFound({
  mutants: MUTANTS,
  sources: SOURCES,
  copies: COPIES,
  load: async (folder) => redis(await loadSources(folder), engine),
})
