import { describe, expect, it } from 'vitest'
import { CASES, RIGHTS, rightsOptions, runUnderRights } from '../rights.mjs'

/** Cases of `CASES` that a transport has: dedupe has one for each store, and AMQP no history. */
const COUNTS = { redis: CASES.length + 2, amqp: CASES.length - 3, 'rabbitmq-stream': CASES.length, kafka: CASES.length }

describe('minimal rights', () => {
  for (const transport of Object.keys(RIGHTS)) {
    it(`${transport} conforms under the rights of a service, with all connections as its user`, {
      timeout: 300_000,
    }, async () => {
      const { cases, failures } = await runUnderRights(transport, CASES)
      expect(failures.map(({ title, reason }) => `${title}: ${reason}`)).toEqual([])
      expect(cases).toBe(/** @type {Record<string, number>} */ (COUNTS)[transport])
    })
  }

  it('a connection of the product that is not the limited user is noticed', { timeout: 120_000 }, async () => {
    const cases = ['batch send > a list is sent in order; a receipt for each, in order']
    const { failures } = await runUnderRights('redis', cases, (tested, url) => ({
      ...tested,
      minimal: { ...tested.minimal, url },
    }))
    expect(failures.map(({ reason }) => reason)).toEqual([expect.stringContaining('not the limited user')])
  })

  it('refuses transports and cases that there are none of', () => {
    expect(() => rightsOptions(['--transports', 'redis,memory'])).toThrow("'memory' is none of redis, amqp")
    expect(() => rightsOptions(['--cases', 'few'])).toThrow("'few' is none of all, some")
  })
})
