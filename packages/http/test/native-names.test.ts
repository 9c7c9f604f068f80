import { topicPattern } from '@streamswitch/core'
import { expect, it } from 'vitest'
import { Bed, consume, until } from './support/bed.js'

it('native names are the segments of paths, for routes, base URLs, foreign clients and patterns', async () => {
  await using bed = new Bed()
  const names = { topics: { orders: { name: 'OrderEvents' } }, groups: { billing: { name: 'BillingService' } } }
  const receiving = await bed.open({ prefix: 'r.', ...names })
  const seen: string[] = []
  await consume(receiving, 'orders', 'billing', ({ topic, value }) => void seen.push(`billing ${topic} ${value}`))
  const loop = receiving.consumer(topicPattern('order*'), { group: 'audit' })
  loop.handle(({ topic, value }) => void seen.push(`audit ${topic} ${value}`))
  await loop.init()
  void loop.run()
  const routes = { bestellungen: { rechnung: [receiving.base] } }
  const sending = await bed.open({
    topics: { bestellungen: { name: 'OrderEvents' } },
    groups: { rechnung: { name: 'BillingService' } },
    routes,
  })
  await sending.producer('bestellungen').send(1)
  await (await bed.open(names, receiving.base)).producer('orders').send(2)
  const answer = await fetch(`${receiving.base}/OrderEvents/BillingService`, { method: 'POST', body: '3' })
  expect(answer.ok).toBe(true)
  await until(() => seen.length === 4, 'four messages')
  expect(seen.sort()).toEqual(['audit orders 2', 'billing orders 1', 'billing orders 2', 'billing orders 3'])
})

it('a name that is no path segment is refused', async () => {
  await using bed = new Bed()
  const transport = await bed.open({ topics: { orders: { name: 'app:orders' } } })
  expect(() => transport.producer('orders')).toThrow(/the native name of topic 'orders' must be a path segment/)
})
