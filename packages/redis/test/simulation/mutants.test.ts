import { mutantsAreFound } from '@streamswitch/testkit/simulation'
import { LuaEngine } from './lua-engine.js'
import { COPIES, MUTANTS, SHARED_MUTANTS, SOURCES } from './mutants.js'
import { redis, sharedRedis } from './redis.js'
import { loadSources } from './sources.js'

const engine = await LuaEngine.create()

mutantsAreFound({
  mutants: MUTANTS,
  sources: SOURCES,
  copies: COPIES,
  load: async (folder) => redis(await loadSources(folder), engine),
})

mutantsAreFound({
  mutants: SHARED_MUTANTS,
  sources: SOURCES,
  copies: COPIES,
  load: async (folder) => sharedRedis(await loadSources(folder), engine),
})
