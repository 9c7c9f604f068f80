import kafkajs, { type Transaction } from 'kafkajs'
import { onTestFinished } from 'vitest'
import { brokerAddress } from './broker.js'

/** Begins a transaction of a producer that is not Streamswitch's, disconnected with the test. */
export async function beginTransaction(name: string): Promise<Transaction> {
  const kafka = new kafkajs.Kafka({ brokers: [brokerAddress], logLevel: kafkajs.logLevel.NOTHING })
  const producer = kafka.producer({
    transactionalId: name,
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
  })
  onTestFinished(() => producer.disconnect())
  await producer.connect()
  return producer.transaction()
}

/** Writes values to partition 0 within a transaction, with a key of four zero bytes: an integer 0, as Java's serializer writes it. */
export async function write(transaction: Transaction, topic: string, values: readonly string[]): Promise<void> {
  const messages = values.map((value) => ({ key: Buffer.alloc(4), value, partition: 0 }))
  await transaction.send({ topic, messages })
}
