import { setTimeout as duration } from 'node:timers/promises'
import type { FaultBench } from '../suite/fault-bench.js'
import type { Direction } from '../tcp-proxy.js'
import type { Worker } from '../worker.js'
import type { Randomness } from './randomness.js'

/** What random faults happen to. */
export interface FaultScene {
  readonly bench: FaultBench
  readonly random: Randomness
  readonly producers: readonly Worker[]
  readonly consumers: readonly Worker[]
}

/** One kind of fault. Resolves when it is over: what was killed runs again, the network is whole. */
export interface RandomFault {
  readonly name: string
  /** It kills the server, which without a broker is the receiving process. */
  readonly killsServer?: true
  strike(scene: FaultScene): Promise<void>
}

const DIRECTIONS: readonly Direction[] = ['to-server', 'to-client']
/** How long what was killed stays away, and how long a silence or a slow link lasts, in milliseconds. */
const AWAY_MS = [0, 1_500] as const
const SILENT_MS = [500, 5_000] as const
const RESET_WITHIN_MS = 3_000
const DEFAULT_SESSION_MS = 2_000

/** What befalls the server and the network. */
export const OUTER_FAULTS: readonly RandomFault[] = [
  {
    name: 'server killed',
    killsServer: true,
    async strike({ bench, random }) {
      const server = bench.server()
      await server.kill()
      await duration(random.between(...AWAY_MS))
      await server.start()
    },
  },
  {
    name: 'connections cut',
    async strike({ bench }) {
      bench.stand.proxy.cut()
    },
  },
  {
    name: 'connections closed one way',
    async strike({ bench, random }) {
      bench.stand.proxy.halfClose(random.pick(DIRECTIONS))
    },
  },
  {
    name: 'silent one way',
    strike: (scene) => silent(scene, scene.random.pick(DIRECTIONS)),
  },
  { name: 'half-open', strike: (scene) => silent(scene, 'both') },
  {
    name: 'slow link',
    async strike({ bench, random }) {
      bench.stand.proxy.delay(random.between(5, 80))
      await duration(random.between(...SILENT_MS))
      bench.stand.proxy.heal()
    },
  },
  {
    name: 'reset in a frame',
    async strike({ bench, random }) {
      const reset = bench.stand.proxy.resetAfter(random.pick(DIRECTIONS), random.between(1, 20_000))
      await Promise.race([reset, duration(RESET_WITHIN_MS)])
      bench.stand.proxy.heal()
    },
  },
]

/** What befalls the processes that use it. */
export const PROCESS_FAULTS: readonly RandomFault[] = [
  { name: 'consumer killed', strike: (scene) => killed(scene, scene.consumers) },
  { name: 'producer killed', strike: (scene) => killed(scene, scene.producers) },
  {
    name: 'consumer frozen',
    async strike({ bench, random, consumers }) {
      const worker = random.pick(consumers)
      const { sessionMs = DEFAULT_SESSION_MS } = bench.settings
      if (!worker.running) return
      worker.freeze()
      await duration(random.between(sessionMs / 2, 2 * sessionMs))
      worker.resume()
    },
  },
]

async function silent({ bench, random }: FaultScene, direction: Direction | 'both'): Promise<void> {
  bench.stand.proxy.silence(direction, random.pick(['present', 'all']))
  await duration(random.between(...SILENT_MS))
  bench.stand.proxy.heal()
}

async function killed({ random }: FaultScene, workers: readonly Worker[]): Promise<void> {
  const worker = random.pick(workers)
  await worker.kill()
  await duration(random.between(...AWAY_MS))
  await worker.start()
}
