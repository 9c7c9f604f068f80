import { expect, test } from 'vitest'
import { openRecorder } from '../src/conformance/recorder.js'

test('it keeps what is sent, with all that belongs to it', async () => {
  const recorder = openRecorder()
  const producer = recorder.transport.producer('letters')
  await producer.send({ a: 1 }, { id: 'one', key: 'k', headers: { plain: 'yes' }, timestamp: 5 })
  expect(recorder.records).toEqual([
    { topic: 'letters', id: 'one', key: 'k', headers: { plain: 'yes' }, timestamp: 5, payload: Buffer.from('{"a":1}') },
  ])
  await recorder.transport.close()
})

test('told to refuse, it counts and refuses with that code; told to accept again, it accepts', async () => {
  const recorder = openRecorder()
  const producer = recorder.transport.producer('letters')
  recorder.refuse('PERMISSION_DENIED')
  await expect(producer.send(1)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
  expect(recorder.refusals).toBe(1)
  recorder.accept()
  await producer.send(2)
  expect(recorder.records.map((record) => record.payload?.toString())).toEqual(['2'])
  await recorder.transport.close()
})

test('a refusal that may pass is sent again until it is accepted', async () => {
  let refused = 0
  const recorder = openRecorder(() => {
    refused = recorder.refusals
    if (refused === 2) recorder.accept()
  })
  recorder.refuse('UNAVAILABLE')
  const producer = recorder.transport.producer('letters')
  await producer.send(1)
  expect(refused).toBe(2)
  expect(recorder.records).toHaveLength(1)
  await recorder.transport.close()
})
