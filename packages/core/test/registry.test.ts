import Module from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONSUMER_LOOPS, OFFICIAL_ADAPTERS, openTransport, PRODUCERS, registerAdapter } from '../src/index.js'
import { Script, scriptedAdapter } from './support/scripted-adapter.js'

const adapter = scriptedAdapter(new Script())
registerAdapter(adapter)

// An application that has installed no adapter: packages are looked up from its entry script. The workspace's own packages
// are on NODE_PATH where the test runner was started by a package manager's shim; Node.js reads it again by _initPaths.
const entry = process.argv[1]
beforeAll(() => {
  process.argv[1] = join(tmpdir(), 'application', 'main.js')
  delete process.env.NODE_PATH
  ;(Module as unknown as { _initPaths(): void })._initPaths()
})
afterAll(() => {
  process.argv[1] = entry as string
})

describe('choosing the transport', () => {
  it.each([
    [{}, 'INVALID_ARGUMENT', 'set STREAMSWITCH_URL'],
    [{ STREAMSWITCH_URL: ' ' }, 'INVALID_ARGUMENT', 'set STREAMSWITCH_URL'],
    [{ STREAMSWITCH_URL: 'redi://h' }, 'INVALID_ARGUMENT', "unknown URL scheme 'redi'; did you mean 'redis'?"],
    [{ STREAMSWITCH_URL: 'redis://h' }, 'NOT_FOUND', "run 'npm install @streamswitch/redis'"],
    [{ STREAMSWITCH_URL: 'rabbitmq-stream+tls://h' }, 'NOT_FOUND', "run 'npm install @streamswitch/rabbitmq-stream'"],
    [{ STREAMSWITCH_TRANSPORT: 'kafak' }, 'INVALID_ARGUMENT', "unknown transport 'kafak'; did you mean 'kafka'?"],
    [{ STREAMSWITCH_TRANSPORT: 'toString' }, 'INVALID_ARGUMENT', "unknown transport 'toString'"],
    [{ STREAMSWITCH_TRANSPORT: 'kafka' }, 'NOT_FOUND', "run 'npm install @streamswitch/kafka'"],
    [{ STREAMSWITCH_URL: 'not a url' }, 'INVALID_ARGUMENT', 'malformed transport URL'],
    [
      { STREAMSWITCH_URL: 'scripted://?size=11' },
      'INVALID_ARGUMENT',
      '?size: must be an integer from 1 to 10, got "11"',
    ],
    [{ STREAMSWITCH_URL: 'scripted://?sise=1' }, 'INVALID_ARGUMENT', "?sise: unknown option; did you mean 'size'?"],
    [
      { STREAMSWITCH_URL: 'scripted://', STREAMSWITCH_PROVISION: 'maybe' },
      'INVALID_ARGUMENT',
      "STREAMSWITCH_PROVISION: must be one of 'create', 'verify', 'none'",
    ],
  ])('%j fails before any I/O: %s, %s', async (environment, code, message) => {
    await expect(openTransport(undefined, { environment })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    })
  })

  it('names what is registered and what can be installed', async () => {
    const error = await openTransport('nats://h').catch((one: Error) => one)
    expect(error).toMatchObject({ message: expect.stringContaining('Registered: scripted.') })
    for (const official of OFFICIAL_ADAPTERS)
      expect((error as Error).message).toContain(`npm install ${official.package}`)
  })

  it('opens by URL, by name, and by the default address', async () => {
    expect((await openTransport('scripted://')).name).toBe('scripted')
    expect((await openTransport(undefined, { environment: { STREAMSWITCH_URL: 'scripted://h?size=2' } })).url).toBe(
      'scripted://h?size=2',
    )
    expect((await openTransport(undefined, { environment: { STREAMSWITCH_TRANSPORT: 'scripted' } })).url).toBe(
      'scripted://',
    )
  })

  it('requires: refuses what the transport lacks, naming those that have it', async () => {
    const lacking = {
      ...adapter,
      name: 'lacking',
      schemes: ['lacking'],
      capabilities: { ...adapter.capabilities, replay: false },
    }
    registerAdapter(lacking)
    await expect(openTransport('lacking://', { requires: ['durable', 'replay'] })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('memory, kafka, redis, rabbitmq-stream'),
    })
    await expect(openTransport('lacking://', { requires: ['replai' as never] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining("did you mean 'replay'?"),
    })
  })
})

describe('PRODUCERS and CONSUMER_LOOPS', () => {
  it('hold the same keys and give classes', () => {
    expect(Object.keys(PRODUCERS)).toEqual(Object.keys(CONSUMER_LOOPS))
    expect(Object.keys(PRODUCERS)).toContain('scripted')
    expect('scripted' in PRODUCERS).toBe(true)
    expect('kafka' in PRODUCERS).toBe(false)
    const producer = new (PRODUCERS.scripted as (typeof PRODUCERS)['kafka'])('orders')
    expect(producer.topic).toBe('orders')
  })

  it('throw for unknown names only: not for symbols, then or toJSON', () => {
    const probe = PRODUCERS as unknown as Record<string | symbol, unknown>
    expect(() => probe.kafak).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(() => probe.kafka).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
    expect(probe.then).toBeUndefined()
    expect(probe.toJSON).toBeUndefined()
    expect(probe[Symbol.iterator]).toBeUndefined()
    expect(() => {
      probe.mine = 1
    }).toThrow(TypeError)
  })

  it('refuse another adapter of a name or scheme that is taken', () => {
    expect(() => registerAdapter(adapter)).not.toThrow()
    expect(() => registerAdapter({ ...adapter })).toThrow(expect.objectContaining({ code: 'CONFLICT' }))
    expect(() => registerAdapter({ ...adapter, name: 'other' })).toThrow("the scheme 'scripted://'")
    expect(() => registerAdapter({ ...adapter, name: 'Bad Name' })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
  })
})
