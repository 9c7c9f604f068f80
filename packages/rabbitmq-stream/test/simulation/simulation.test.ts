import { simulations } from '@streamswitch/testkit/simulation'
import { rabbitmqStream } from './rabbitmq-stream.js'
import { loadSources } from './sources.js'

simulations(rabbitmqStream(await loadSources('../../src')))
