import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { AMQP_URL, addressOf, KAFKA_URL, REDIS_URL } from './brokers.js'
import { OUTPUT, SNIPPETS } from './folders.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** What is added to the names of topics and groups in this run. */
    readonly suffix: string
  }
}

const PAGES = join(import.meta.dirname, '..', '..', '..', '..', 'docs', 'migrating')
/** A snippet whose first line names its file is run; others are shown only. */
const SNIPPET = /```(?:ts|py)\n(?:\/\/|#) ([a-z-]+\.(?:ts|py))\n(.*?)```/gs

/** Writes the snippets of all pages below `test-results`, under names of this run, and compiles them as a strict project of a user would. */
export default async function writeSnippets({ provide }: TestProject): Promise<void> {
  const suffix = randomBytes(4).toString('hex')
  provide('suffix', suffix)
  rmSync(SNIPPETS, { recursive: true, force: true })
  for (const file of readdirSync(PAGES)) {
    const page = basename(file, '.md')
    for (const [, name = '', code = ''] of readFileSync(join(PAGES, file), 'utf8').matchAll(SNIPPET)) {
      mkdirSync(join(SNIPPETS, page), { recursive: true })
      writeFileSync(join(SNIPPETS, page, name), ofThisRun(code, page, suffix))
    }
  }
  const compilerOptions = {
    // Node.js 20 has no explicit resource management.
    target: 'ES2022',
    declaration: false,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    rootDir: '.',
    outDir: OUTPUT,
  }
  const config = { extends: '../../../../tsconfig.base.json', compilerOptions, include: ['**/*.ts'] }
  writeFileSync(join(SNIPPETS, 'tsconfig.json'), JSON.stringify(config))
  const compiler = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'tsc')
  await promisify(execFile)(compiler, ['-p', SNIPPETS]).catch((error: { readonly stdout: string }) => {
    throw new Error(`the snippets of docs/migrating don't compile:\n${error.stdout}`)
  })
}

/** The pages' names and addresses are those of a reader: here topics and groups are new ones, on the brokers of the tests. */
function ofThisRun(code: string, page: string, suffix: string): string {
  return code
    .replaceAll(/\b(orders|billing)\b/g, `$1_${page}_${suffix}`)
    .replaceAll('127.0.0.1:9092', addressOf(KAFKA_URL))
    .replaceAll('127.0.0.1:6379', addressOf(REDIS_URL))
    .replaceAll('127.0.0.1:5672', addressOf(AMQP_URL))
}
