import { describe, expect, it } from 'vitest'
import { deploymentFor } from '../src/deployment.js'
import type { ServiceName } from '../src/services.js'

const MEMBERS = new Map<string, ServiceName>([
  ['alerts', 'alerts'],
  ['audit', 'audit'],
  ['delays-1', 'delays'],
  ['delays-2', 'delays'],
  ['departures', 'departures'],
])

describe('the deployment', () => {
  it('gives every process the address of the broker and nothing else', async () => {
    const environments = await deploymentFor('redis', 'redis://127.0.0.1:6379', MEMBERS)
    for (const member of MEMBERS.keys())
      expect(environments.get(member)).toEqual({ STREAMSWITCH_URL: 'redis://127.0.0.1:6379' })
  })

  it('gives receivers without a broker an address each, and everyone the routes to them', async () => {
    const environments = await deploymentFor('http', 'http://127.0.0.1:80', MEMBERS)
    const address = (member: string): string => `http://${environments.get(member)?.['HTTP_LISTEN']}`
    const receivers = [...MEMBERS.keys()].filter((member) => member !== 'departures')
    expect(new Set(receivers.map(address)).size).toBe(receivers.length)
    expect(environments.get('departures')).not.toHaveProperty('HTTP_LISTEN')
    for (const member of MEMBERS.keys()) {
      expect(JSON.parse(environments.get(member)?.['HTTP_ROUTES'] ?? '')).toEqual({
        departures: { delays: [address('delays-1'), address('delays-2')], audit: [address('audit')] },
        alerts: { board: [address('alerts')] },
      })
    }
  })
})
