import { simulations } from '@streamswitch/testkit/simulation'
import { amqp } from './amqp.js'
import { loadSources } from './sources.js'

// Errors are made by the thousand, and nobody reads where.
Error.stackTraceLimit = 0

simulations(amqp(await loadSources('../../src')))
