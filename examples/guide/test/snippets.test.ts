import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { compileSnippets, runSnippet, snippetsOf } from './snippets.js'

const GUIDE = 'docs/guide'
/** Those that a service installs. The snippet of the testkit is the conformance test of `@streamswitch/memory`. */
const PACKAGES = ['core', 'memory', 'http', 'redis', 'kafka', 'amqp', 'rabbitmq-stream']

/** What the complete snippets print, by the file that their page says to save them in. */
const PRINTED: Readonly<Record<string, RegExp>> = {
  'README.md orders.mts': /^charged 12 to c1\n$/,
  'docs/guide/getting-started.md hello.mjs': /^customer-7 pays 12\n$/,
  'docs/guide/getting-started.md typed.mts': /^12\.00\n$/,
  'docs/guide/concepts.md concepts.mts': /^memory false\n$/,
  'docs/guide/concepts.md by-name.mts': /^\S+\n$/,
  'docs/guide/concepts.md existing.mts': /^orders to OrderEvents\nOrderEvents\.BillingService\.dlq\n$/,
  'docs/guide/producing.md produce.mts': /^\S+ 0\n$/,
  'docs/guide/consuming.md consume.mts': /^c1 12 1\n$/,
  'docs/guide/consuming.md iterate.mts': /^1\n2\n3\n$/,
  'docs/guide/consuming.md manual.mts': /^4\n$/,
  'docs/guide/consuming.md batch.mts': /^1 2 -3 4\n-3\n$/,
  'docs/guide/consuming.md pattern.mts': /^orders\.eu created after the loop\n$/,
  'docs/guide/consuming.md forward.mts': /^hamlet to\nhamlet be\nhamlet end\n$/,
  'docs/guide/consuming.md seek.mts': /^a b a b\n$/,
  'docs/guide/ordering.md ordering.mts': /^order-2 cancel, order-1 pick, order-1 pack\n$/,
  'docs/guide/ordering.md hooks.mts': /^assigned 0\nrevoked 0 graceful\n$/,
  'docs/guide/retries.md retries.mts': /^{ amount: 5 } 3 no account for unknown\n$/,
  'docs/guide/retries.md replay.mts':
    /^\[ 'refund-1: the ledger is closed \(1\)' \]\n(?=.*refunded refund-1 5\n)(refunded.*\n)?{ count: 1, missing: \[\], incomplete: \[\] }\n(refunded.*\n)?$/s,
  'docs/guide/idempotency.md dedupe.mts': /^7 1\n$/,
  'docs/guide/idempotency.md transaction.mts': /^\{ entries: 1.*\}\n$/,
  'docs/guide/request-reply.md request.mts': /^3\n2\n1\n0\n$/,
  'docs/guide/composing.md compose.mts': /^receipts-v2 12\n$/,
  'docs/guide/composing.md route.mts': /^paid 12\nwritten: i1 i2\n$/,
  'docs/guide/composing.md middleware.mts': /^acme true\n$/,
  'docs/guide/testing.md testing.mts': /^\[ { paid: 12 } \]\n$/,
  'docs/guide/operations.md runner.mts': /^200\nstopped\n$/,
  'docs/guide/operations.md close.mts': /^stopped\n$/,
  'docs/guide/errors.md errors.mts': /^TOO_LARGE false send notes\n$/,
  'packages/memory/README.md orders.mts': /^charged 12\n$/,
}

/** Those that log a warning: they show dead letters. */
const WARNS: Readonly<Record<string, RegExp>> = {
  'docs/guide/retries.md retries.mts': /^.* was written to payments\.ledger\.dlq after 3 attempts: .*\n$/,
  'docs/guide/retries.md replay.mts': /^.* was written to refunds\.ledger\.dlq after 1 attempts: .*\n$/,
}

const guidePages = readdirSync(join(import.meta.dirname, '..', '..', '..', GUIDE)).toSorted()
const readmes = PACKAGES.map((name) => `packages/${name}/README.md`)
const snippets = ['README.md', ...guidePages.map((name) => `${GUIDE}/${name}`), ...readmes].flatMap(snippetsOf)
const complete = snippets.flatMap((snippet) => {
  const { page, command } = snippet
  return command === undefined ? [] : [{ name: `${page} ${command.file}`, snippet }]
})

describe('the snippets of the guide and the READMEs', () => {
  beforeAll(() => compileSnippets(snippets), 120_000)

  it('are in every page, with a command where they are complete', () => {
    expect(complete.map(({ name }) => name).toSorted()).toEqual(Object.keys(PRINTED).toSorted())
    expect(readmes.map((page) => snippets.filter((snippet) => snippet.page === page).length)).toEqual(
      readmes.map(() => 1),
    )
    const withoutSnippet = guidePages.filter((name) => !snippets.some(({ page }) => page === `${GUIDE}/${name}`))
    expect(withoutSnippet).toEqual(['README.md'])
  })

  it.each(complete)(
    '$name prints what it should',
    async ({ name, snippet }) => {
      const { stdout, stderr } = await runSnippet(snippet)
      expect(stdout).toMatch(PRINTED[name] as RegExp)
      expect(stderr).toMatch(WARNS[name] ?? /^$/)
    },
    60_000,
  )
})
