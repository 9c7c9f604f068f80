import { expect, test } from 'vitest'
import { run } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'

test('a request that names a partition of replies that does not exist holds nobody up', async () => {
  const topic = uniqueTopic()
  const prefix = `${topic}.`
  const transport = openTransport({ prefix })
  const loop = transport.consumer<string>('asked', { group: 'g', codec: 'text' })
  loop.handle(({ value }) => value)
  void loop.run()
  await loop.init()
  const address = 'streamswitch:1:kafka:9999/nobody#nobody.1'
  // The message is this file: kcat takes one, byte for byte.
  await run(['-P', '-t', `${prefix}asked`, '-H', `streamswitch-reply-to=${address}`, import.meta.filename])
  // A record that can't be stored is tried for half a minute.
  await expect.poll(() => loop.stats().acked, { timeout: 15_000 }).toBe(1)
  expect(loop.stats()).toMatchObject({ retried: 0, deadLettered: 0 })
  const caller = openTransport({ prefix })
  expect(await caller.producer('asked', { codec: 'text' }).request('x').read()).toBe('x')
  for (const name of ['asked', 'streamswitch-replies']) await caller.admin.deleteTopic(caller.topicSpec(name))
})
