import type { ConsumerDriver, ConsumerSink, StartPosition } from '@streamswitch/core/driver'
import type { GroundTruth, Ledger } from './ledger.js'
import type { OffsetOf } from './member.js'
import type { JudgedPromise } from './tally.js'
import type { SimulatedProcess, World } from './world.js'

/** A membership protocol that can be simulated: a scripted broker, and the real code that speaks to it. One file per protocol. */
export interface SimulatedProtocol {
  readonly name: string
  /** What its random schedules must contain, besides `COMMON_EVENTS`. */
  readonly events: readonly string[]
  /** What is judged. */
  readonly promises: readonly JudgedPromise[]
  /** A broker with an empty topic, for a run of its own. */
  start(world: World, ledger: (truth: GroundTruth, partitions: number) => Ledger): ProtocolRun
}

/** One run's broker. Its calls take effect at once, its answers travel by the world's latencies. */
export interface ProtocolRun {
  readonly partitions: number
  readonly offsetOf: OffsetOf
  /** A driver of the process, as core would create it: for one connection. */
  driver(process: SimulatedProcess, sink: ConsumerSink): ConsumerDriver
  /** A position in what a partition holds, for a member to move the group to. Left out: groups aren't moved. */
  target?(partition: number): StartPosition | undefined
  produce(partition: number): void
  /** Everything below is committed; `undefined` for a group that has nothing yet. */
  position(partition: number): number | undefined
  /** What members have left behind on the broker, judged once all is at rest; `undefined`: nothing. */
  leftover(): string | undefined
  /** A fault whose consequences a member hasn't met yet: the group isn't at rest. Left out: there are none that last. */
  aftermath?(): string | undefined
  /** The process is gone, and its connections with it. */
  kill(process: SimulatedProcess): void
  /** Cuts one or all of the process's connections; each side learns of it at some time. */
  cut(process: SimulatedProcess): void
  /** The process doesn't run any more, for now. */
  froze(process: SimulatedProcess): void
  /** The broker is gone for so long, with everything that it doesn't keep. */
  restart(downMs: number): void
}
