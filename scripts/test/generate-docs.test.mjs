import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { generatePages } from '../generate-docs.mjs'
import { plantTree } from './planted-tree.mjs'

const CORE = 'packages/core/src'

const SOUND = {
  'README.md': '# Streams\n\nOne interface to\n[all](docs/README.md) of it. More.\n\n```sh\nnpm run x\n```\n',
  'package.json': '{ "repository": { "url": "git+https://example.org/streams.git" } }',
  [`${CORE}/index.ts`]: '',
  [`${CORE}/driver.ts`]: "export { tlsFields } from './tls.js'\n",
  [`${CORE}/tls.ts`]: 'export const tlsFields = {\n  /** Certificate authorities. */\n  tlsCaFile: option.text(),\n}\n',
  [`${CORE}/transport/transport-options.ts`]:
    'export const transportFields = {\n  /** Names this process. */\n  clientId: option.text(),\n}\n',
  [`${CORE}/transport/topic-options.ts`]:
    'export const topicFields = {\n  /** Partitions of the topic. */\n  partitions: option.integer({ min: 1 }),\n}\n',
  [`${CORE}/producer/producer-options.ts`]: `import { topicFields as shared } from '../transport/topic-options.js'
export const producerFields = {
  ...shared,
  /**
   * How values become bytes: \`a|b\` or {@link Codec} <of your own>.
   * The second line.
   * @default json
   */
  codec: option.custom('codec', check),
}
`,
  [`${CORE}/consumer/consumer-options.ts`]: `export const consumerFields = {
  /** How a failed message is tried again. */
  retry: option.group({
    /** Handler starts. */
    attempts: option.integer({ default: 5, min: 1 }),
  }),
}
`,
  [`${CORE}/contract/capabilities.ts`]:
    'export interface Capabilities {\n  /** Late readers see history. */\n  readonly replay: CapabilityValue\n}\n',
  'packages/redis/src/options.ts': `import { tlsFields } from '@streamswitch/core/driver'
export const redisFields = {
  ...tlsFields,
  /** Password of the user. */
  password: secretOption(),
} as const
export const redisProducerFields = {
  /** For producers. */
  method: option.choice(['a', 'b']),
}
export const redisConsumerFields = {
  /** For loops. */
  method: option.choice(['a', 'b']),
  /** Only for loops. */
  waitMs: option.integer({ default: 60_000, min: 0 }),
}
`,
}

const text = { kind: 'string' }
const integer = { kind: 'integer of at least 1' }

const METHOD = { kind: "'a', 'b'" }

const DESCRIBED = {
  transportFields: { clientId: { ...text, environment: 'STREAMSWITCH_CLIENT_ID' } },
  producerFields: { partitions: integer, codec: { kind: 'codec', defaultValue: 'json' } },
  consumerFields: { retry: { kind: 'object', fields: { attempts: { ...integer, defaultValue: 5 } } } },
  capabilityNames: ['replay'],
  official: [
    { name: 'redis', capabilities: { replay: true } },
    { name: 'amqp', capabilities: { replay: false }, existingQueue: { replay: true } },
    { name: 'other', capabilities: { replay: 'on <version> 8' } },
  ],
  adapters: new Map([
    [
      'packages/redis',
      {
        name: 'redis',
        schemes: ['redis', 'rediss'],
        defaultUrl: 'redis://127.0.0.1',
        options: { tlsCaFile: text, password: { kind: 'string', secret: true, defaultValue: 'hunter2' } },
        producerOptions: { method: METHOD },
        consumerOptions: { method: METHOD, waitMs: { kind: 'integer', defaultValue: 60_000 } },
      },
    ],
  ]),
}

/**
 * @param {Record<string, string>} changes Files that differ from the sound tree.
 * @param {Partial<import('../docs/described.mjs').Described>} [described]
 */
function generate(changes = {}, described = {}) {
  return generatePages({ ...DESCRIBED, ...described }, plantTree({ ...SOUND, ...changes }))
}

const REDIS_PAGE = 'docs/transports/redis.md'

describe('generated documentation', () => {
  test('a documented tree has no problem, and a page for each part', () => {
    const { pages, problems } = generate()
    expect(problems).toEqual([])
    expect([...pages.keys()]).toEqual([
      'docs/options.md',
      'docs/capabilities.md',
      REDIS_PAGE,
      'docs/README.md',
      'llms.txt',
    ])
  })

  test('shows type, default, environment variable and meaning', () => {
    const page = generate().pages.get('docs/options.md')
    expect(page).toContain('| option | type | default | environment | meaning |\n|---|---|---|---|---|\n')
    expect(page).toContain('| `clientId` | string | | `STREAMSWITCH_CLIENT_ID` | Names this process. |')
  })

  test('joins lines, leaves tags out, escapes what Markdown would take for its own', () => {
    const page = generate().pages.get('docs/options.md')
    expect(page).toContain(
      '| `codec` | codec | `json` | | How values become bytes: `a\\|b` or `Codec` &lt;of your own>. The second line. |',
    )
  })

  test('follows spread fields through imports and re-exports', () => {
    const { pages } = generate()
    expect(pages.get('docs/options.md')).toContain(
      '| `partitions` | integer of at least 1 | | | Partitions of the topic. |',
    )
    expect(pages.get(REDIS_PAGE)).toContain('| `tlsCaFile` | string | | | Certificate authorities. |')
  })

  test('shows groups by their paths', () => {
    expect(generate().pages.get('docs/options.md')).toContain(
      '| `retry.attempts` | integer of at least 1 | `5` | | Handler starts. |',
    )
  })

  test('takes options of the same name from their own set', () => {
    const [, producers = '', loops = ''] = generate().pages.get(REDIS_PAGE)?.split('\n### ').slice(1) ?? []
    expect(producers).toContain('| `method` | `a`, `b` | | | For producers. |')
    expect(loops).toContain('| `method` | `a`, `b` | | | For loops. |')
    expect(loops).toContain('`60000` (1 min)')
  })

  test('never shows a secret', () => {
    const page = generate().pages.get(REDIS_PAGE)
    expect(page).toContain('| `password` | secret: string | | | Password of the user. |')
    expect(page).not.toContain('hunter2')
  })

  test('shows capabilities as yes, no or their condition', () => {
    const page = generate().pages.get('docs/capabilities.md')
    expect(page).toContain('| `replay` | yes | no | yes | on &lt;version> 8 |')
    expect(page).toContain('| `replay` | Late readers see history. |')
  })

  test.each([
    [
      'an option',
      `${CORE}/transport/transport-options.ts`,
      'export const transportFields = {\n  clientId: option.text(),\n}\n',
      `${CORE}/transport/transport-options.ts:2: the option 'clientId'`,
    ],
    [
      'a spread option',
      `${CORE}/tls.ts`,
      'export const tlsFields = { tlsCaFile: option.text() }\n',
      `${CORE}/tls.ts:1: the option 'tlsCaFile'`,
    ],
    [
      'an option in a group',
      `${CORE}/consumer/consumer-options.ts`,
      'export const consumerFields = {\n  /** Tries again. */\n  retry: option.group({\n    attempts: option.integer({}),\n  }),\n}\n',
      `${CORE}/consumer/consumer-options.ts:4: the option 'retry.attempts'`,
    ],
    [
      'an option whose comment is no JSDoc',
      `${CORE}/tls.ts`,
      'export const tlsFields = {\n  // Text.\n  tlsCaFile: option.text(),\n}\n',
      "the option 'tlsCaFile'",
    ],
    [
      'a capability',
      `${CORE}/contract/capabilities.ts`,
      'export interface Capabilities {\n  readonly replay: boolean\n}\n',
      "the capability 'replay'",
    ],
  ])('%s without a comment is a problem', (_, file, content, problem) => {
    expect(generate({ [file]: content }).problems).toEqual([expect.stringContaining(problem)])
  })

  test('an option that the source does not have is a problem', () => {
    const { problems } = generate({}, { transportFields: { ...DESCRIBED.transportFields, made: text } })
    expect(problems).toEqual([expect.stringContaining("doesn't declare the option 'made'")])
  })
})

describe('pages that exist', () => {
  const rootWith = (/** @type {Record<string, string>} */ files) => {
    const root = plantTree(SOUND)
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), content)
    }
    return root
  }

  test('keep what stands around the markers', () => {
    const page = '# Redis\n\nBefore.\n\n<!-- options:begin -->\nold\n<!-- options:end -->\n\nAfter.\n'
    const made = generatePages(DESCRIBED, rootWith({ [REDIS_PAGE]: page })).pages.get(REDIS_PAGE)
    expect(made).toMatch(/^# Redis\n\nBefore\.\n\n<!-- options:begin -->\n/)
    expect(made).toMatch(/<!-- options:end -->\n\nAfter\.\n$/)
    expect(made).not.toContain('old')
  })

  test('get markers and a heading at their end where they have none', () => {
    const made = generatePages(DESCRIBED, rootWith({ [REDIS_PAGE]: '# Redis\n\nText.\n' })).pages.get(REDIS_PAGE)
    expect(made).toMatch(/^# Redis\n\nText\.\n\n## Options\n\n<!-- options:begin -->\n/)
  })

  test('do not change when made again', () => {
    const { pages } = generatePages(DESCRIBED, rootWith({}))
    expect(generatePages(DESCRIBED, rootWith(Object.fromEntries(pages))).pages).toEqual(pages)
  })

  test('with one marker only are a problem', () => {
    const { problems } = generatePages(DESCRIBED, rootWith({ [REDIS_PAGE]: '# Redis\n\n<!-- options:begin -->\n' }))
    expect(problems).toEqual([expect.stringContaining(`${REDIS_PAGE}: there must be`)])
  })

  test('are listed in the index by folder with their titles', () => {
    const root = rootWith({ 'docs/brokers.md': '# Brokers\n', 'docs/decisions/0001-first.md': '# The first\n' })
    const index = generatePages(DESCRIBED, root).pages.get('docs/README.md')
    expect(index).toContain('- [Options](options.md)\n- [Capabilities](capabilities.md)\n- [Brokers](brokers.md)\n')
    expect(index).toContain(
      '### Transports\n\n- [redis](transports/redis.md)\n\n### Decisions\n\n- [The first](decisions/0001-first.md)',
    )
  })
})

describe('llms.txt', () => {
  test('has the title, the summary, and each page with its title and first sentence, decisions as titles that may be skipped', () => {
    const files = {
      'docs/guide/concepts.md':
        '# Guide\n\n```ts\nText in code.\n```\n\n`npm install x`, then `y`. What [parts](a.md) are,\nin 1.0. More.\n',
      'docs/decisions/0001-first.md': '# The first\n\n## What\n\nIt is so.\n',
    }
    const { pages, problems } = generate(files)
    expect(problems).toEqual([])
    const text = pages.get('llms.txt') ?? ''
    expect(text).toMatch(/^# Streams\n\n> One interface to all of it\. More\.\n\n## Guide\n\n/)
    const base = 'https://example.org/streams/blob/main'
    expect(text).toContain(`- [Guide](${base}/docs/guide/concepts.md): What parts are, in 1.0.\n`)
    expect(text).toContain(`- [Options](${base}/docs/options.md)`)
    expect(text).toContain(`## Packages\n\n- [@streamswitch/core](${base}/packages/core/README.md)`)
    expect(text).toMatch(/## Optional\n\n- \[The first\]\(\S+0001-first\.md\)\n$/)
  })
})
