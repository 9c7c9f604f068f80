import { openTransport } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import { deleteTopics, runPrefix } from '../src/run-names.js'
import { RABBITMQ_STREAM_URL } from './full-run.js'

/** Nobody listens there: the broker's streams can't be listed. */
const NO_MANAGEMENT = { managementUrl: 'http://127.0.0.1:1' }

describe('the topics of a run', () => {
  it('are deleted also where they cannot be listed', async () => {
    const prefix = runPrefix()
    await using transport = await openTransport(RABBITMQ_STREAM_URL, { options: { prefix, ...NO_MANAGEMENT } })
    await expect(transport.admin.topics()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    for (const topic of ['departures', 'alerts']) {
      const producer = transport.producer<number>(topic, { partitions: 2 })
      await producer.send(1, { key: 'DFW' })
      await producer.close()
    }
    await deleteTopics(transport)
    await using verifying = await openTransport(RABBITMQ_STREAM_URL, {
      options: { prefix, provision: 'verify', ...NO_MANAGEMENT },
    })
    for (const topic of ['departures', 'alerts'])
      await expect(verifying.producer<number>(topic).send(1)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
