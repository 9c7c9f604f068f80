import { simulations } from '@streamswitch/testkit/simulation'
import { LuaEngine } from './lua-engine.js'
import { redis } from './redis.js'
import { loadSources } from './sources.js'

simulations(redis(await loadSources('../../src'), await LuaEngine.create()))
