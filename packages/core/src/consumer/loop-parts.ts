import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { AdapterDefinition, ConsumerSpec } from '../contract/adapter.js'
import { createDedupe } from '../dedupe/create-dedupe.js'
import { dedupeProblem } from '../dedupe/dedupe-options.js'
import { type ErrorCode, StreamError } from '../errors.js'
import { Events } from '../events.js'
import { Replies } from '../feedback/replies.js'
import { requirePortableName } from '../names.js'
import { LoopNames } from '../native-names/loop-names.js'
import { splitOptions } from '../options/adapter-options.js'
import { isTopicPattern, requirePattern, type TopicSelection } from '../topic-pattern.js'
import { openByAdapter } from '../transport/open-transport.js'
import { requireFor } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import { ConsumerEngine } from './consumer-engine.js'
import type { ConsumerEvents } from './consumer-events.js'
import { type ConsumerLoopOptions, type ConsumerOptionValues, consumerFields } from './consumer-options.js'
import { DeadLetters } from './dead-letters.js'
import type { HandlerStage } from './handler-chain.js'
import { middlewareStages } from './handler-middleware.js'
import { TopicSubscription } from './topic-subscription.js'

/** Creates an error with the loop's name. */
type LoopError = (code: ErrorCode, message: string, operation: string, cause?: unknown) => StreamError

/** The components of a loop. */
export interface LoopParts {
  /** The topics or the pattern, as shown in errors. */
  readonly label: string
  readonly group: string
  readonly transport: Transport
  /** The loop opened the transport and closes it. */
  readonly ownsTransport: boolean
  /** The topics that it names; none with a pattern. */
  readonly topics: readonly string[]
  /** With a pattern: its topics. */
  readonly subscription: TopicSubscription | undefined
  readonly options: ConsumerOptionValues
  readonly events: Events<ConsumerEvents>
  /** Functions around the handler, outermost first: dedupe, replies, middleware. */
  readonly stages: readonly HandlerStage[]
  readonly names: LoopNames
  readonly engine: ConsumerEngine
  readonly error: LoopError
}

/** What the components share. */
interface Surroundings {
  readonly subject: string
  readonly group: string
  readonly names: LoopNames
  readonly transport: Transport
  readonly options: ConsumerOptionValues
  readonly events: Events<ConsumerEvents>
  readonly error: LoopError
}

/**
 * Checks topic, group and options, and assembles a loop; no I/O. Throws as documented at the constructor of
 * `ConsumerLoop`.
 *
 * @param onFailure - called when the loop can't continue.
 */
export function makeLoopParts<T>(
  adapter: AdapterDefinition,
  selection: TopicSelection,
  given: ConsumerLoopOptions<T>,
  onFailure: (error: StreamError) => void,
): LoopParts {
  const { transport: shared, ...rest } = given ?? {}
  const pattern = isTopicPattern(selection) ? selection : undefined
  const topics = isTopicPattern(selection) ? [] : typeof selection === 'string' ? [selection] : [...selection]
  if (pattern !== undefined) requirePattern(pattern.pattern, adapter.name)
  const topic = pattern?.pattern ?? topics.join(',')
  const group = given?.group
  requirePortableName('group', group, adapter.name)
  const subject = `consumer ${topic}/${group}`
  const { common: options, own } = splitOptions(rest, consumerFields, adapter, 'consumerOptions', { subject, topic })
  const transport = shared ?? openByAdapter(adapter)
  const error: LoopError = (code, message, operation, cause) =>
    new StreamError(`${subject}: ${message}`, { code, cause, transport: transport.name, topic, operation })
  if (pattern === undefined && topics.length === 0)
    throw error('INVALID_ARGUMENT', 'topic: must name at least one topic', 'configure')
  checkOptions(adapter, pattern !== undefined, options, error)
  const names = new LoopNames(transport, topics, group, options, subject)
  const problem = dedupeProblem(rest.dedupe)
  if (problem !== undefined) throw error('INVALID_ARGUMENT', problem, 'configure')

  const events = new Events<ConsumerEvents>(transport.logger, subject)
  const around: Surroundings = { subject, group, names, transport, options, events, error }
  const dedupe = createDedupe(options.dedupe, {
    transport,
    names,
    marks: () => engine.driver()?.marks,
    report: (failure) => events.emit('error', failure),
  })
  const replies = options.replies ? new Replies(transport, names.group.groupOrigin, options.replyCodec) : undefined
  const common = {
    subject: `${subject} on ${transport.name}`,
    transport,
    spec: specOf(around, own),
    deadLetters: deadLettersOf(around),
  }
  const { topicRefreshMs: refreshMs, connectTimeoutMs } = options
  const subscription =
    pattern === undefined ? undefined : new TopicSubscription({ ...common, ...pattern, refreshMs, connectTimeoutMs })
  const engine: ConsumerEngine = new ConsumerEngine({
    ...common,
    topic,
    connect: (sink) => subscription?.driver(sink) ?? transport.driver.consumer(common.spec, sink),
    options,
    replies,
    dedupe,
    events,
    onFailure,
  })
  const stages = [dedupe?.stage, replies?.stage].filter((stage) => stage !== undefined)
  stages.push(...middlewareStages([...(transport.middleware.handle ?? []), ...options.middleware]))
  const ownsTransport = shared === undefined
  return {
    label: topic,
    group,
    transport,
    ownsTransport,
    topics,
    subscription,
    options,
    events,
    stages,
    names,
    engine,
    error,
  }
}

/** Checks combinations of options, and what this transport supports. */
function checkOptions(
  adapter: AdapterDefinition,
  byPattern: boolean,
  { from, ack, partitions, retention, retry }: ConsumerOptionValues,
  error: LoopError,
): void {
  const { minDelayMs, maxDelayMs } = retry
  if (minDelayMs > maxDelayMs) {
    const what = `retry.minDelayMs (${minDelayMs}) must be at most retry.maxDelayMs (${maxDelayMs}): set both`
    throw error('INVALID_ARGUMENT', what, 'configure')
  }
  if (byPattern) {
    // It creates no topics: they keep the settings they were created with.
    const given = Object.entries({ partitions, ...retention }).find(([, value]) => value !== undefined)
    const what = `${given?.[0]}: a loop by pattern creates no topics; set it where they are created`
    if (given !== undefined) throw error('INVALID_ARGUMENT', what, 'configure')
  }
  if (from !== undefined) requireFor(adapter, 'replay', "'from'", 'configure')
  if (ack === 'manual') requireFor(adapter, 'manualAck', "ack: 'manual'", 'configure')
}

function specOf({ names, options }: Surroundings, own: unknown): ConsumerSpec {
  const { retry, handlerTimeoutMs, handlerGraceMs } = options
  const { group, brokerGroup, derivedGroup, groupOrigin } = names.group
  return {
    topics: names.topics,
    group,
    brokerGroup,
    derivedGroup,
    groupOrigin,
    member: options.memberName ?? `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`,
    ordering: options.ordering,
    from: options.from,
    prefetch: options.prefetch,
    maxHandlingMs: (handlerTimeoutMs + handlerGraceMs + retry.maxDelayMs) * retry.attempts,
    maxAttempts: retry.attempts,
    options: own,
  }
}

/** undefined`: the error policy applies to messages that can't be handled. */
function deadLettersOf({ names, transport, options, error }: Surroundings): DeadLetters | undefined {
  const { deadLetter } = options
  if (deadLetter === false) return undefined
  const { capabilities, deadLetterTransport, name } = transport
  if (deadLetterTransport === undefined && capabilities.deadLetters !== true) {
    if (deadLetter === undefined) return undefined
    const kept = String(capabilities.deadLetters)
    const what = `${name} keeps dead letters only ${kept}: open it with deadLetterTransport, or don't set deadLetter`
    throw error('UNSUPPORTED', what, 'configure')
  }
  const topic = typeof deadLetter === 'object' ? deadLetter.topic : undefined
  return new DeadLetters(deadLetterTransport ?? transport, names, topic)
}
