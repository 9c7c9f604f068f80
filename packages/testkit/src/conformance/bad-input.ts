import { isPortableName, type Transport, Transport as TransportClass } from '@streamswitch/core'
import { expect, test } from 'vitest'
import { badSends } from './bad-sends.js'
import type { Bench } from './bench.js'
import { rejection, thrown } from './expect-error.js'
import type { Suite } from './suite.js'

/** Names that not every transport can hold. */
const BAD_NAMES: readonly unknown[] = [
  '',
  'Upper',
  'with space',
  '-first',
  '.first',
  'a/b',
  'ü',
  'x'.repeat(101),
  'line\nfeed',
  7,
  null,
  undefined,
  {},
  ['a'],
]

interface BadCall {
  readonly what: string
  readonly act: (transport: Transport, bench: Bench) => unknown
  /** What the message must say. */
  readonly says: readonly string[]
}

const AT_CONSTRUCTION: readonly BadCall[] = [
  {
    what: 'an unknown option of a producer',
    act: (transport) => transport.producer('t', { lingerMS: 1 } as never),
    says: ['lingerMS', "'lingerMs'"],
  },
  {
    what: 'an unknown option of a loop',
    act: (transport) => transport.consumer('t', { group: 'g', concurency: 1 } as never),
    says: ['concurency', "'concurrency'"],
  },
  {
    what: 'a wrong type',
    act: (transport) => transport.producer('t', { maxBatchRecords: 'many' as never }),
    says: ['maxBatchRecords', 'integer'],
  },
  {
    what: 'a number out of range',
    act: (transport) => transport.consumer('t', { group: 'g', concurrency: 0 }),
    says: ['concurrency', 'from 1 to'],
  },
  {
    what: 'not a number',
    act: (transport) => transport.producer('t', { sendTimeoutMs: Number.NaN }),
    says: ['sendTimeoutMs'],
  },
  {
    what: 'a nested option',
    act: (transport) => transport.consumer('t', { group: 'g', retry: { attempts: -1 } as never }),
    says: ['retry.attempts'],
  },
  {
    what: 'a minimum beyond its maximum',
    act: (transport) => transport.consumer('t', { group: 'g', retry: { minDelayMs: 60_000 } }),
    says: ['retry.minDelayMs (60000)', 'retry.maxDelayMs (30000)'],
  },
  {
    what: 'several problems at once',
    act: (transport) =>
      transport.consumer('t', {
        group: 'g',
        concurrency: -1,
        ordering: 'sometimes' as never,
        prefetch: 1.5,
        nonsense: true,
      } as never),
    says: ['concurrency', 'ordering', "'key', 'none'", 'prefetch', 'nonsense'],
  },
  {
    what: "an unknown option of the adapter's own, below its name",
    act: (transport) => transport.producer('t', { [transport.name]: { nonsense: 1 } } as never),
    says: ['nonsense'],
  },
  {
    what: "another adapter's options that are no object",
    act: (transport) => transport.producer('t', { [transport.name === 'kafka' ? 'redis' : 'kafka']: 5 } as never),
    says: ['must be an object'],
  },
  {
    what: 'an unknown codec',
    act: (transport) => transport.producer('t', { codec: 'xml' as never }),
    says: ['codec', "'json'"],
  },
  {
    what: 'a schema that is none',
    act: (transport) => transport.consumer('t', { group: 'g', schema: {} as never }),
    says: ['schema'],
  },
  {
    what: 'a start position that is none',
    act: (transport) => transport.consumer('t', { group: 'g', from: 'yesterday' as never }),
    says: ['from'],
  },
  {
    what: 'a dead-letter option that is none',
    act: (transport) => transport.consumer('t', { group: 'g', deadLetter: 'yes' as never }),
    says: ['deadLetter'],
  },
  { what: 'no topic at all', act: (transport) => transport.consumer([], { group: 'g' }), says: ['topic'] },
  {
    what: 'no options at all for a loop',
    act: (transport) => transport.consumer('t', undefined as never),
    says: ['group'],
  },
  {
    what: 'a handler that is no function',
    act: (transport) => transport.consumer('t', { group: 'g' }).handle('handler' as never),
    says: ['handle', 'function'],
  },
]

/** Calls that can't be meant: found at once, before any I/O, with words that help. */
export function badInput(suite: Suite): void {
  suite.describe('bad input', () => {
    construction(suite)
    names(suite)
    transports(suite)
    badSends(suite)
  })
}

function construction(suite: Suite): void {
  for (const { what, act, says } of AT_CONSTRUCTION) {
    suite.test(`${what} is INVALID_ARGUMENT at construction`, {}, async (bench) => {
      const error = thrown(() => act(bench.transport(), bench), 'INVALID_ARGUMENT')
      for (const part of says) expect(error.message).toContain(part)
      expect(error.retryable).toBe(false)
    })
  }

  suite.test('run without a handler is INVALID_ARGUMENT', {}, async (bench) => {
    const loop = bench.transport().consumer(bench.topic, { group: bench.group })
    const error = await rejection(loop.run(), 'INVALID_ARGUMENT')
    expect(error.message).toContain('handle')
    expect(loop.stats().connected).toBe(false)
  })

  suite.test("other adapters' options may be carried along", {}, async (bench) => {
    const transport = bench.transport()
    const others = Object.fromEntries(
      ['kafka', 'redis', 'amqp', 'http']
        .filter((name) => name !== transport.name)
        .map((name) => [name, { anything: 1 }]),
    )
    expect(transport.producer(bench.topic, others).topic).toBe(bench.topic)
  })
}

function names(suite: Suite): void {
  test('names that only some transports can hold are refused, for topics and groups', async () => {
    const url = await suite.settings.url({ topics: [], groups: [], purpose: 'ordinary' })
    const transport = new TransportClass(suite.settings.adapter, url, {
      environment: {},
      options: await ownOptions(suite),
    })
    for (const name of BAD_NAMES) {
      expect(isPortableName(name)).toBe(false)
      thrown(() => transport.producer(name as never), 'INVALID_ARGUMENT')
      thrown(() => transport.consumer('topic', { group: name as never }), 'INVALID_ARGUMENT')
      thrown(() => transport.consumer([name as never], { group: 'group' }), 'INVALID_ARGUMENT')
    }
    await transport.close()
  })

  suite.test('the longest name works, and every sign that a name may hold', {}, async (bench) => {
    const topic = `${bench.topic}.${'x'.repeat(98 - bench.topic.length)}`.slice(0, 97).concat('_.-')
    expect(topic).toHaveLength(100)
    const member = await bench.member({ topic, settings: { deadLetter: false } })
    await bench.ledger.send(bench.producer({ topic }), 1)
    await bench.until(() => member.succeeded.length === 1, 'the message')
    expect(member.handlings[0]?.topic).toBe(topic)
    const { admin } = bench.administration()
    await admin.deleteTopic(member.transport.topicSpec(topic))
  })
}

async function ownOptions(suite: Suite): Promise<Readonly<Record<string, unknown>>> {
  const { openOptions = {} } = suite.settings
  const options =
    typeof openOptions === 'function' ? await openOptions({ topics: [], groups: [], purpose: 'ordinary' }) : openOptions
  return options.options ?? {}
}

function transports(suite: Suite): void {
  suite.test(
    'a URL that is none, of another scheme, or with unknown options is INVALID_ARGUMENT',
    {},
    async (bench) => {
      const scheme = suite.settings.adapter.schemes[0] ?? ''
      for (const url of [
        '',
        'no url',
        'nothing://127.0.0.1',
        `${scheme}:/one-slash`,
        `${scheme}://host:0`,
        `${scheme}://host:99999`,
        `${scheme}://%zz:y@host`,
      ]) {
        thrown(() => bench.transport({}, url), 'INVALID_ARGUMENT')
      }
      const joint = bench.url.includes('?') ? '&' : '?'
      const unknown = thrown(
        () => bench.transport({}, `${bench.url}${joint}nonsense=1&prefix=UPPER`),
        'INVALID_ARGUMENT',
      )
      expect(unknown.message).toContain('nonsense')
      expect(unknown.message, 'all problems at once').toContain('prefix')
      const option = thrown(
        () => bench.transport({ options: { provision: 'perhaps', nonsense: 1 } }),
        'INVALID_ARGUMENT',
      )
      const misplaced = thrown(() => bench.transport({ prefix: 'x', require: ['lag'] } as never), 'INVALID_ARGUMENT')
      expect(misplaced.message).toContain('{ options: { prefix: … } }')
      expect(misplaced.message).toContain("did you mean 'requires'?")
      expect(option.message).toContain('provision')
      expect(option.message).toContain('nonsense')
    },
  )
}
