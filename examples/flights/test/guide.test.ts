import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const PACKAGE = join(import.meta.dirname, '..')
const GUIDE = join(PACKAGE, '..', '..', 'docs', 'guide.md')
/** Within the package, so that the snippets find what it has installed. */
const FOLDER = join(PACKAGE, 'test-results', 'guide')

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

function snippets(): string[] {
  return [...readFileSync(GUIDE, 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? '')
}

/** Compiles the snippets as a strict project of a user would. */
async function compile(): Promise<void> {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  for (const [index, code] of snippets().entries()) writeFileSync(join(FOLDER, `snippet-${index}.ts`), code)
  // Node.js 20 has no explicit resource management.
  const compilerOptions = { target: 'ES2022', declaration: false, rootDir: '.', outDir: 'out' }
  writeFileSync(
    join(FOLDER, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../../tsconfig.base.json', compilerOptions, include: ['snippet-*.ts'] }),
  )
  await run(join(PACKAGE, 'node_modules', '.bin', 'tsc'), ['-p', FOLDER])
}

describe('the snippets of the guide', () => {
  beforeAll(compile)

  it('are all known here', () => {
    expect(snippets().length).toBe(PRINTED.length)
  })

  it.each(PRINTED.map((printed, index) => ({ index, printed })))(
    'snippet $index prints $printed',
    async ({ index, printed }) => {
      const { QUEUE_TYPE: _type, STREAMSWITCH_URL: _url, ...env } = process.env
      const { stdout } = await run(process.execPath, [join(FOLDER, 'out', `snippet-${index}.js`)], {
        cwd: FOLDER,
        env,
        timeout: 20_000,
      })
      expect(stdout).toMatch(printed)
    },
  )
})
