import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import { describeType } from '../options/problems.js'
import type { Producer } from '../producer/producer.js'
import type { Transport } from '../transport/transport.js'
import type { ConsumerFactory } from './consumer-factory.js'
import type { HandlerFactory } from './handler-factory.js'
import { Router } from './router.js'
import { runnerError } from './runner-options.js'

/** A loop with its own name. */
export interface NamedLoop {
  readonly name: string
  readonly loop: ConsumerLoop
}

/** What a runner runs, or closes when it stops. */
export type RunnerPart =
  | ConsumerLoop
  | NamedLoop
  | ConsumerFactory
  | Pick<HandlerFactory, 'loops' | 'producers' | 'close'>
  | Router
  | Producer
  | Transport

/** What is closed after the loops: first factories and producers, then transports. */
export interface ClosedLast {
  readonly stage: 'producers' | 'transports'
  readonly label: string
  close(options: { readonly timeoutMs: number; readonly signal: AbortSignal }): Promise<void>
}

/** The components of a part. */
export interface PartContent {
  readonly loops: readonly NamedLoop[]
  readonly producers: readonly { readonly name: string; readonly producer: Producer }[]
  readonly closedLast: readonly ClosedLast[]
}

/**
 * Returns the components of a part. Checks for methods rather than classes, since core may be loaded twice. Throws
 * INVALID_ARGUMENT for anything that isn't a part.
 */
export function contentOf(part: Exclude<RunnerPart, Router>): PartContent {
  if (has<NamedLoop>(part, 'loop', 'name')) return { loops: [part], producers: [], closedLast: [] }
  if (has<ConsumerLoop>(part, 'topics', 'run')) return { loops: [named(part)], producers: [], closedLast: [] }
  if (has<HandlerFactory>(part, 'loops', 'producers')) {
    const producers = [...part.producers].map(([name, producer]) => ({ name, producer }))
    return { loops: namedLoops(part.loops), producers, closedLast: [last('producers', 'a HandlerFactory', part)] }
  }
  if (has<ConsumerFactory>(part, 'loops', 'route'))
    return { loops: namedLoops(part.loops), producers: [], closedLast: [last('producers', 'a ConsumerFactory', part)] }
  if (has<Producer>(part, 'topic', 'send')) {
    const label = `producer '${part.topic}'`
    return {
      loops: [],
      producers: [{ name: part.topic, producer: part }],
      closedLast: [last('producers', label, part)],
    }
  }
  if (has<Transport>(part, 'adapter', 'consumer'))
    return { loops: [], producers: [], closedLast: [last('transports', `the ${part.name} transport`, part)] }
  throw runnerError(
    'INVALID_ARGUMENT',
    `accepts loops, factories, routers, producers and transports, got ${describeType(part)}`,
  )
}

export function isRouter(part: RunnerPart): part is Router {
  return part instanceof Router || has<Router>(part, 'routes', 'includedBy')
}

function has<Part>(part: unknown, ...members: readonly string[]): part is Part {
  return typeof part === 'object' && part !== null && members.every((member) => member in part)
}

function named(loop: ConsumerLoop): NamedLoop {
  return { name: loop.label, loop }
}

function namedLoops(loops: ReadonlyMap<string, ConsumerLoop>): NamedLoop[] {
  return [...loops].map(([name, loop]) => ({ name, loop }))
}

function last(
  stage: ClosedLast['stage'],
  label: string,
  part: { close(options: { timeoutMs: number; signal: AbortSignal }): Promise<void> },
): ClosedLast {
  return { stage, label, close: (options) => part.close(options) }
}
