import { beforeAll, describe, expect, it } from 'vitest'
import { compileSnippets, snippetsOf } from './snippets.js'

/** What the snippets print, in the order of the guide. */
const PRINTED = [
  /^memory false\n$/,
  /^\S+\n$/,
  /^\S+ 0\n$/,
  /^c1 12 1\n$/,
  /^1\n2\n3\n$/,
  /^orders\.eu made after the loop\n$/,
  /^orders to OrderEvents\nOrderEvents\.BillingService\.dlq\n$|^OrderEvents\.BillingService\.dlq\norders to OrderEvents\n$/,
  /^{ amount: 5 } 3 no account for unknown\n$/,
  /^\[ 'refund-1: the ledger is closed \(1\)' \]\n(?=.*refunded refund-1 5\n)(refunded.*\n)?{ count: 1, missing: \[\], incomplete: \[\] }\n(refunded.*\n)?$/s,
  /^4\n$/,
  /^1 2 -3 4\n-3\n$/,
  /^hamlet to\nhamlet be\nhamlet end\n$/,
  /^acme true\n$/,
  /^3\n2\n1\n0\n$/,
  /^a b a b\n$/,
  /^7 1\n$/,
  /^\{ entries: 1.*\}\n$/,
  /^stopped\n$/,
  /^receipts-v2 12\n$/,
  /^paid 12\nwritten: i1 i2\n$/,
  /^\[ { paid: 12 } \]\n$/,
]

describe('the snippets of the guide', () => {
  const snippets = snippetsOf('docs/guide.md')
  let run: (index: number) => Promise<string>

  beforeAll(async () => {
    run = await compileSnippets('guide', snippets)
  })

  it('are all known here', () => {
    expect(snippets.length).toBe(PRINTED.length)
  })

  it.each(PRINTED.map((printed, index) => ({ index, printed })))(
    'snippet $index prints $printed',
    async ({ index, printed }) => {
      expect(await run(index)).toMatch(printed)
    },
  )
})
