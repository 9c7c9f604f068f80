import { type Fields, type Frame, METHODS } from './library.js'
import type { ScriptedBroker, ScriptedConsumer } from './scripted-broker.js'
import type { ScriptedConnection } from './scripted-client.js'
import type { ClassicQueue, QueuedMessage } from './scripted-queue.js'

interface Unacked {
  readonly consumer: ScriptedConsumer
  readonly message: QueuedMessage
}

/** One channel, on the broker's side. */
export class ScriptedChannel {
  readonly number: number
  readonly #broker: ScriptedBroker
  readonly #connection: ScriptedConnection
  readonly #unacked = new Map<number, Unacked>()
  /** Read by `basic.get`: it goes back when the channel closes. */
  readonly #read: (readonly [ClassicQueue, QueuedMessage])[] = []
  readonly #consumers: ScriptedConsumer[] = []
  /** Queues that are deleted with the channel. */
  readonly #ownQueues: string[] = []
  readonly #frames: (() => void)[] = []
  #waits = false
  #prefetch = 0
  #deliveryTag = 0
  #confirms = false
  #published = 0
  #open = true
  /** Queues of which it had the active consumer when the broker closed it. */
  lostQueues: readonly string[] = []

  constructor(number: number, broker: ScriptedBroker, connection: ScriptedConnection) {
    this.number = number
    this.#broker = broker
    this.#connection = connection
  }

  /** Frames are handled one after the other; one that asks a queue keeps the next waiting. */
  receive(method: number, fields: Fields, content?: Content): void {
    const handle = (): void => {
      if (this.#open) this.#handle(method, fields, content)
    }
    if (this.#waits) this.#frames.push(handle)
    else handle()
  }

  /** The broker closes it: with a word to the client where the connection still stands. */
  closeByBroker(code: number, text: string): void {
    if (!this.#open) return
    this.lostQueues = this.#consumers
      .filter((consumer) => this.#broker.partitions.get(consumer.queue)?.active === consumer)
      .map(({ queue }) => queue)
    this.end()
    this.#push({
      id: METHODS.ChannelClose,
      fields: { replyCode: code, replyText: text, classId: 0, methodId: 0 },
    })
  }

  /** Has an open consumer of a partition. */
  get consumes(): boolean {
    return this.#open && this.#consumers.length > 0
  }

  /** The connection is gone. */
  lost(): void {
    if (!this.#open) return
    this.lostQueues = this.#consumers
      .filter((consumer) => this.#broker.partitions.get(consumer.queue)?.active === consumer)
      .map(({ queue }) => queue)
    this.end()
  }

  /** Closed, by whomever: queues learn of it later, by a monitor of theirs. */
  end(): void {
    if (!this.#open) return
    this.#open = false
    for (const name of this.#ownQueues) this.#broker.deleteClassic(name)
    for (const [queue, message] of this.#read) queue.putBack(message)
    for (const consumer of this.#consumers)
      this.#broker.command(consumer.queue, () => this.#broker.partitions.get(consumer.queue)?.remove(consumer))
  }

  #push(...frames: readonly Frame[]): void {
    this.#connection.push(this.number, frames)
  }

  #answer(id: number, fields: Fields = {}, ...content: readonly Frame[]): void {
    this.#connection.answer(this.number, [{ id, fields }, ...content])
  }

  #handle(method: number, fields: Fields, content: Content | undefined): void {
    switch (method) {
      case METHODS.ChannelOpen:
        return this.#answer(METHODS.ChannelOpenOk)
      case METHODS.ConfirmSelect:
        this.#confirms = true
        return this.#answer(METHODS.ConfirmSelectOk)
      case METHODS.ChannelClose:
        this.end()
        return this.#answer(METHODS.ChannelCloseOk)
      case METHODS.ChannelCloseOk:
        return
      case METHODS.BasicQos:
        this.#prefetch = fields['prefetchCount'] as number
        return this.#answer(METHODS.BasicQosOk)
      case METHODS.ExchangeDeclare:
        if (!this.#broker.exchanges.has(fields['exchange'] as string)) return this.#notFound()
        return fields['nowait'] === true ? undefined : this.#answer(METHODS.ExchangeDeclareOk)
      case METHODS.QueueDeclare:
        return this.#declare(fields)
      case METHODS.QueueBind: {
        const bound = this.#broker.exchanges.get(fields['exchange'] as string)
        if (bound === undefined) return this.#notFound()
        bound.add(fields['queue'] as string)
        return fields['nowait'] === true ? undefined : this.#answer(METHODS.QueueBindOk)
      }
      case METHODS.BasicConsume:
        return this.#consume(fields)
      case METHODS.BasicGet:
        return this.#get(fields)
      case METHODS.BasicAck:
        return this.#ack(fields['deliveryTag'] as number, fields['multiple'] === true)
      case METHODS.BasicPublish:
        return this.#publish(fields, content as Content)
      default:
        throw new Error(`no script for method ${method}`)
    }
  }

  #notFound(): void {
    this.closeByBroker(404, 'NOT_FOUND - scripted')
  }

  #declare(fields: Fields): void {
    const queue = fields['queue'] as string
    const partition = this.#broker.partitions.get(queue)
    const found = partition ?? this.#broker.classic.get(queue)
    if (fields['passive'] === true && found === undefined) return this.#notFound()
    if (found === undefined) {
      const length = (fields['arguments'] as Fields | undefined)?.['x-max-length']
      this.#broker.declareClassic(queue, typeof length === 'number' ? length : Number.POSITIVE_INFINITY)
      if (fields['exclusive'] === true) this.#ownQueues.push(queue)
    }
    this.#answer(METHODS.QueueDeclareOk, {
      queue,
      messageCount: partition?.messages.length ?? this.#broker.classic.get(queue)?.length ?? 0,
      consumerCount: partition?.consumers.length ?? 0,
    })
  }

  #consume(fields: Fields): void {
    const queue = fields['queue'] as string
    const consumerTag = this.#broker.nextConsumerTag()
    const classic = this.#broker.classic.get(queue)
    if (classic !== undefined) {
      classic.consumer = (message) => {
        if (this.#open) this.#deliver(consumerTag, message)
      }
      return this.#answer(METHODS.BasicConsumeOk, { consumerTag })
    }
    const partition = this.#broker.partitions.get(queue)
    if (partition === undefined) return this.#notFound()
    const consumer: ScriptedConsumer = {
      connection: this.#connection,
      queue,
      priority: ((fields['arguments'] as Fields | undefined)?.['x-priority'] as number | undefined) ?? 0,
      prefetch: this.#prefetch,
      held: new Set(),
      deliver: (message) => {
        if (!this.#open) return
        const tag = this.#deliver(consumerTag, message)
        this.#unacked.set(tag, { consumer, message })
      },
    }
    this.#waits = true
    this.#broker.command(queue, () => {
      this.#waits = false
      if (this.#open) {
        this.#consumers.push(consumer)
        this.#answer(METHODS.BasicConsumeOk, { consumerTag })
        partition.register(consumer)
      }
      while (!this.#waits && this.#frames.length > 0) this.#frames.shift()?.()
    })
  }

  #deliver(consumerTag: string, { body, properties, delivered }: QueuedMessage): number {
    this.#deliveryTag += 1
    const deliveryTag = this.#deliveryTag
    this.#push(
      {
        id: METHODS.BasicDeliver,
        fields: { consumerTag, deliveryTag, redelivered: delivered, exchange: '', routingKey: '' },
      },
      ...contentOf(properties, body),
    )
    return deliveryTag
  }

  #get(fields: Fields): void {
    const { process } = this.#connection
    const name = fields['queue'] as string
    const queue = this.#broker.classic.get(name)
    const message = queue?.get()
    this.#broker.events.read(process, name, message?.body)
    if (queue === undefined) return this.#notFound()
    if (message === undefined) return this.#answer(METHODS.BasicGetEmpty)
    this.#read.push([queue, message])
    this.#deliveryTag += 1
    const { delivered: redelivered, properties, body } = message
    this.#answer(
      METHODS.BasicGetOk,
      { deliveryTag: this.#deliveryTag, redelivered, exchange: '', routingKey: '', messageCount: queue.length },
      ...contentOf(properties, body),
    )
  }

  #ack(tag: number, multiple: boolean): void {
    const { events } = this.#broker
    const { process } = this.#connection
    const tags = multiple ? [...this.#unacked.keys()].filter((one) => one <= tag) : [tag]
    if (!this.#unacked.has(tag)) {
      events.mistake(process, `acked delivery ${tag}, which it doesn't hold`)
      return this.closeByBroker(406, `PRECONDITION_FAILED - unknown delivery tag ${tag}`)
    }
    const byConsumer = new Map<ScriptedConsumer, QueuedMessage[]>()
    for (const one of tags) {
      const { consumer, message } = this.#unacked.get(one) as Unacked
      this.#unacked.delete(one)
      byConsumer.set(consumer, [...(byConsumer.get(consumer) ?? []), message])
    }
    for (const [consumer, messages] of byConsumer)
      this.#broker.command(consumer.queue, () => {
        for (const message of messages) events.acked(process, consumer.queue, message)
        this.#broker.partitions.get(consumer.queue)?.settle(consumer, messages)
      })
  }

  #publish(fields: Fields, { body, properties, sentRightly }: Content): void {
    const { events, partitions } = this.#broker
    const [exchange, routingKey] = [fields['exchange'] as string, fields['routingKey'] as string]
    this.#published += 1
    const confirmed: Fields = { deliveryTag: this.#published, multiple: false }
    const partition = exchange === '' ? partitions.get(routingKey) : undefined
    if (partition !== undefined)
      return this.#broker.command(routingKey, () => {
        partition.publish({ body, properties, delivered: false })
        if (this.#confirms && this.#open) this.#answer(METHODS.BasicAck, confirmed)
      })
    const queues = this.#broker.routes(exchange, routingKey)
    for (const queue of queues) queue.publish({ body, properties, delivered: false })
    if (exchange === '' && queues.length > 0) events.stored(this.#connection.process, routingKey, body, sentRightly)
    if (queues.length === 0 && fields['mandatory'] === true)
      this.#push(
        { id: METHODS.BasicReturn, fields: { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey } },
        ...contentOf(properties, body),
      )
    if (this.#confirms) this.#answer(METHODS.BasicAck, confirmed)
  }
}

/** What a client publishes. */
export interface Content {
  readonly body: Buffer
  readonly properties: Fields
  /** What `mayStore` said when it was sent. */
  readonly sentRightly: boolean
}

function contentOf(fields: Fields, content: Buffer): Frame[] {
  const properties = { id: METHODS.BasicProperties, fields, size: content.length }
  return content.length === 0 ? [properties] : [properties, { content }]
}
