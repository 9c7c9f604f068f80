import { simulations } from '@streamswitch/testkit/simulation'
import { LuaEngine } from './lua-engine.js'
import { redis, sharedRedis } from './redis.js'
import { loadSources } from './sources.js'

const [sources, engine] = [await loadSources('../../src'), await LuaEngine.create()]

simulations(redis(sources, engine))
simulations(sharedRedis(sources, engine))
