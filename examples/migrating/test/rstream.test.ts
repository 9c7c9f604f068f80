import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { expect, it } from 'vitest'
import { deletesAfterwards } from './support/amqp.js'
import { STREAM_URL } from './support/brokers.js'
import { OUTPUT } from './support/folders.js'
import { Orders, Recipe, untilShared } from './support/recipe.js'

it('an rstream service is replaced on its super stream and in its group, and brought back', {
  timeout: 180_000,
}, async () => {
  const recipe = new Recipe('rstream', { STREAMSWITCH_URL: STREAM_URL })
  const superStream = recipe.nameOf('orders')
  deletesAfterwards(
    [0, 1, 2].map((partition) => `${superStream}-${partition}`),
    superStream,
  )
  const orders = new Orders()
  const produce = (file: string) => (ids: readonly string[]) => recipe.run(file, ...ids)
  const [sendOld, send] = [produce('old-producer.py'), produce('producer.ts')]

  await sendOld(orders.next(20))
  const old = orders.chargedBy(await recipe.start('old-consumer.py'))
  await orders.allOnce()
  const replacement = orders.chargedBy(await recipe.start('consumer.ts'))
  await untilShared(orders, send, [old, replacement])
  await old.stop()
  await sendOld(orders.next(20))
  await orders.allOnce()

  const restored = orders.chargedBy(await recipe.start('old-consumer.py'))
  await untilShared(orders, sendOld, [restored, replacement])
  await replacement.stop()
  await send(orders.next(20))
  await orders.allOnce()
  await restored.stop()
})

it('keys go where rstream sends them', async () => {
  const keys = [
    '',
    'a',
    'customer-7',
    'Grüße',
    '客户',
    '🙂',
    ...Array.from({ length: 40 }, (_, length) => 'x'.repeat(length)),
  ]
  const script = [
    'import asyncio, json, sys',
    'from rstream.superstream import HashRoutingMurmurStrategy',
    'class Partitions:',
    '    async def partitions(self): return list(range(7))',
    'async def key(message): return message',
    'async def main(keys): return [(await HashRoutingMurmurStrategy(key).route(one, Partitions()))[0] for one in keys]',
    'print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))',
  ].join('\n')
  const { stdout } = await promisify(execFile)(await brokerTool('python-clients'), ['-c', script, JSON.stringify(keys)])
  const { rstreamPartition } = await import(join(OUTPUT, 'rstream', 'rstream.js'))
  expect(keys.map((key) => rstreamPartition(key, 7))).toEqual(JSON.parse(stdout))
})
