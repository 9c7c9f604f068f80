import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  officialIdentity,
  Producer,
  type ProducerOptions,
  type TopicSelection,
} from '@streamswitch/core/driver'
import { classifyError } from './errors.js'
import { AMQP_FORM } from './native-form.js'
import {
  type AmqpSettings,
  amqpConsumerFields,
  amqpFields,
  amqpProducerFields,
  environmentUrl,
  optionsFromUrl,
} from './options.js'
import { connectTransport } from './transport.js'

/** AMQP 0-9-1 on RabbitMQ 4: quorum queues, one per partition and group. */
export const adapter: AdapterDefinition = {
  ...officialIdentity('amqp'),
  reconnects: 'core',
  nativeForm: AMQP_FORM,
  defaultUrl: 'amqp://guest:guest@127.0.0.1:5672',
  environmentUrl,
  options: amqpFields,
  producerOptions: amqpProducerFields,
  consumerOptions: amqpConsumerFields,
  optionsFromUrl,
  nativeNames: { topic: nameProblem, group: () => undefined },
  connect: (options, context) => connectTransport(options as AmqpSettings, context),
  classifyError,
  classes: () => ({ Producer: AmqpProducer, ConsumerLoop: AmqpConsumerLoop }),
}

/** Names of exchanges and queues are short strings (AMQP 0-9-1, section 4.2.5.3). Groups only have derived names. */
function nameProblem(name: string): string | undefined {
  return Buffer.byteLength(name) <= 255 ? undefined : 'must have at most 255 bytes, the limit of AMQP 0-9-1'
}

/** A producer on the AMQP transport. */
export class AmqpProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A consumer loop on the AMQP transport. */
export class AmqpConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
