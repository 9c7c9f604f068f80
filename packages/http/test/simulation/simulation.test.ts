import { simulations } from '@streamswitch/testkit/simulation'
import { http } from './http.js'
import { loadSources } from './sources.js'

// Errors are made by the thousand, and nobody reads where.
Error.stackTraceLimit = 0

simulations(http(await loadSources('../../src')))
