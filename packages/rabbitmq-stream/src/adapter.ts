import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  type ConsumerSink,
  type ConsumerSpec,
  type OptionFields,
  type OptionValues,
  officialIdentity,
  Problems,
  Producer,
  type ProducerOptions,
  type ProducerSink,
  type ProducerSpec,
  type TopicSelection,
  type TopicSpec,
  type TransportContext,
  type TransportDriver,
  warnOfCleartext,
} from '@streamswitch/core/driver'
import { StreamAdmin } from './admin.js'
import type { ConnectionSource } from './connection.js'
import { StreamConsumerDriver } from './consumer.js'
import { classifyError } from './errors.js'
import { isRecordName } from './group-records.js'
import { STREAM_FORM } from './native-form.js'
import {
  environmentUrl,
  optionsFromUrl,
  type StreamConsumerSettings,
  type StreamProducerSettings,
  type StreamSettings,
  streamConsumerFields,
  streamFields,
  streamProducerFields,
} from './options.js'
import { StreamProducerDriver } from './producer.js'
import { streamReplies } from './replies.js'

/** Names of streams have at most 255 bytes, including the topic and its prefix. */
const MAX_BINDING_KEY_BYTES = 100

const MAX_NAME_BYTES = 255
const MAX_GROUP_BYTES = 240

/** RabbitMQ streams, by the stream protocol: RabbitMQ 3.13 or newer. */
export const adapter: AdapterDefinition = {
  ...officialIdentity('rabbitmq-stream'),
  reconnects: 'core',
  nativeForm: STREAM_FORM,
  defaultUrl: 'rabbitmq-stream://guest:guest@127.0.0.1:5552',
  environmentUrl,
  options: streamFields,
  producerOptions: streamProducerFields,
  consumerOptions: streamConsumerFields,
  optionsFromUrl,
  nativeNames: { topic: streamNameProblem, group: groupNameProblem },
  connect: (options, context) => connect(options as OptionValues<OptionFields> as StreamSettings, context),
  classifyError,
  classes: () => ({ Producer: RabbitmqStreamProducer, ConsumerLoop: RabbitmqStreamConsumerLoop }),
}

function connect(settings: StreamSettings, context: TransportContext): TransportDriver {
  const { tls, password, hosts } = settings
  if (!tls && password !== undefined) {
    const advice = 'use rabbitmq-stream+tls://'
    warnOfCleartext({ transport: 'rabbitmq-stream', logger: context.logger, what: 'the password', hosts, advice })
  }
  const source: ConnectionSource = { settings, context }
  const ownEpochs = new Map<string, number>()
  return {
    // Each producer and loop has a separate client, recreated after every loss.
    native: undefined,
    admin: new StreamAdmin(source),
    producer: (spec: ProducerSpec, sink: ProducerSink) => {
      checkProducer(spec.options as StreamProducerSettings, spec.topic)
      return new StreamProducerDriver(source, spec as ProducerSpec<StreamProducerSettings>, sink)
    },
    consumer: (spec: ConsumerSpec, sink: ConsumerSink) => {
      checkConsumer(spec.options as StreamConsumerSettings, spec.topics)
      return new StreamConsumerDriver(source, spec as ConsumerSpec<StreamConsumerSettings>, sink, ownEpochs)
    },
    replies: streamReplies(source),
    close: async () => {},
  }
}

/** The broker's rule: streams are queues. */
function streamNameProblem(name: string): string | undefined {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `must have at most ${MAX_NAME_BYTES} bytes, RabbitMQ's limit`
  return name.startsWith('amq.') ? "must not begin with 'amq.', which RabbitMQ reserves" : undefined
}

/**
 * The group's name is the reference under which streams store its offset; other references of the group begin with it.
 */
function groupNameProblem(name: string): string | undefined {
  if (Buffer.byteLength(name) > MAX_GROUP_BYTES) return `must have at most ${MAX_GROUP_BYTES} bytes`
  if (name.startsWith('publisher:')) return "must not begin with 'publisher:', the prefix of publishers' locks"
  return isRecordName(name) ? 'must not end like the names of other records of a group (`<group>:epoch`, …)' : undefined
}

function checkProducer(options: StreamProducerSettings, spec: TopicSpec): void {
  const { publisherName, subEntrySize, filterHeader } = options
  const { topic } = spec
  const problems = new Problems()
  checkBindingKeys(problems, options.bindingKeys, spec)
  if (publisherName !== undefined && subEntrySize > 1)
    problems.add(
      'rabbitmq-stream.subEntrySize',
      "can't be combined with publisherName: a batch of sub-entries has one id, so that the broker can't identify its records",
    )
  if (filterHeader !== undefined && subEntrySize > 1)
    problems.add(
      'rabbitmq-stream.subEntrySize',
      "can't be combined with filterHeader: a batch of sub-entries has no filter value",
    )
  if (publisherName !== undefined && !/^[\x21-\x7e]{1,200}$/.test(publisherName))
    problems.add('rabbitmq-stream.publisherName', 'must have 1 to 200 characters of printable ASCII without spaces')
  problems.throwIfAny(`invalid options of producer ${topic}`, {
    transport: 'rabbitmq-stream',
    topic,
    operation: 'configure',
  })
}

function checkConsumer(options: StreamConsumerSettings, topics: readonly TopicSpec[]): void {
  const { filterValues, filterHeader } = options
  const topic = topics[0]?.topic
  const problems = new Problems()
  for (const spec of topics.slice(0, 1)) checkBindingKeys(problems, options.bindingKeys, spec)
  if ((filterValues === undefined) !== (filterHeader === undefined))
    problems.add(
      'rabbitmq-stream.filterHeader',
      'must be set together with filterValues: the broker only skips whole chunks',
    )
  problems.throwIfAny('invalid options of a loop', { transport: 'rabbitmq-stream', topic, operation: 'configure' })
}

function checkBindingKeys(
  problems: Problems,
  keys: readonly string[] | undefined,
  { partitions, native, provision }: TopicSpec,
): void {
  const path = 'rabbitmq-stream.bindingKeys'
  if (keys === undefined) return
  if (new Set(keys).size < keys.length) problems.add(path, 'must not contain a key twice')
  if (keys.some((key) => Buffer.byteLength(key) > MAX_BINDING_KEY_BYTES))
    problems.add(path, `must be keys of at most ${MAX_BINDING_KEY_BYTES} bytes: they are part of their stream's name`)
  const isFound = native && provision !== 'create'
  if (!isFound && partitions !== undefined && partitions !== keys.length)
    problems.add('partitions', `must be ${keys.length} or unset: there is one partition for each of the bindingKeys`)
}

/** A producer on RabbitMQ streams. */
export class RabbitmqStreamProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A consumer loop on RabbitMQ streams. */
export class RabbitmqStreamConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
