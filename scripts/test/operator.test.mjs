import { describe, expect, it } from 'vitest'
import { isKnownToFail, OPERATORS } from '../ci-brokers.mjs'
import { rowProblems, runOperators } from '../operator.mjs'

const BROKERS = { redis: 'redis', amqp: 'rabbitmq', 'rabbitmq-stream': 'rabbitmq', kafka: 'kafka' }

describe('a broker that others run', () => {
  for (const { operator, transport } of OPERATORS) {
    if (isKnownToFail(transport, operator)) continue
    it(`${operator}: ${transport} loses nothing that it confirmed, or reports it`, { timeout: 300_000 }, async () => {
      const broker = /** @type {Record<string, string>} */ (BROKERS)[transport] ?? ''
      const rows = await runOperators({ brokers: [broker], transports: [transport], only: operator, cases: 'none' })
      expect(rows).toHaveLength(1)
      expect(rows.flatMap(rowProblems)).toEqual([])
      expect(rows[0]?.ledger?.handled).toBeGreaterThan(0)
    })
  }
})
