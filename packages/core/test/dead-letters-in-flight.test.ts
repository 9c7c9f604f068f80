import { expect, test } from 'vitest'
import { Delivery } from '../src/consumer/delivery.js'
import { Script, scriptedAdapter, scriptedTransport } from './support/scripted-adapter.js'

test('a dead letter that the broker has sent and that has not arrived is waited for', async () => {
  const script = new Script()
  let asked = 0
  script.lag = async () => {
    asked += 1
    // Neither waiting nor delivered: it is in flight. It arrives after the reader has asked.
    if (asked === 1) {
      const [driver] = script.consumers
      const assignment = { topic: 'orders.billing.dlq', partition: 0, epoch: 1 }
      const fields = { id: 'late', key: undefined, payload: Buffer.from('1'), headers: {}, timestamp: 1, position: 1 }
      setTimeout(
        () => void driver?.sink.deliver(assignment, [new Delivery(assignment, { ...fields, native: undefined })]),
        50,
      )
    }
    return [{ topic: 'orders.billing.dlq', partition: 0, lag: asked === 1 ? 0 : 1 }]
  }
  const { connect } = scriptedAdapter(script)
  const transport = scriptedTransport(
    script,
    {},
    {
      connect: (...given) => {
        const driver = connect(...given)
        const lag = async () => [{ topic: 'orders.billing.dlq', partition: 0, lag: 1 }]
        return { ...driver, admin: { ...driver.admin, lag } }
      },
    },
  )
  const { letters } = await transport.deadLetters('orders', { group: 'billing' }).list()
  expect(letters.map(({ id }) => id)).toEqual(['late'])
})
