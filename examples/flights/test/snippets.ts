import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const PACKAGE = join(import.meta.dirname, '..')
const REPOSITORY = join(PACKAGE, '..', '..')

/** The TypeScript snippets of a page, by its path from the repository's root. */
export function snippetsOf(page: string): string[] {
  return [...readFileSync(join(REPOSITORY, page), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? '')
}

/**
 * Compiles snippets as a strict project of a user would, in a folder within this package, so that they find what it has installed.
 * Rejects where one doesn't compile. Returns what runs the snippet of an index and resolves to what it printed.
 */
export async function compileSnippets(
  name: string,
  snippets: readonly string[],
): Promise<(index: number) => Promise<string>> {
  const folder = join(PACKAGE, 'test-results', name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [index, code] of snippets.entries()) writeFileSync(join(folder, `snippet-${index}.ts`), code)
  // Node.js 20 has no explicit resource management.
  const compilerOptions = { target: 'ES2022', declaration: false, rootDir: '.', outDir: 'out' }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../../tsconfig.base.json', compilerOptions, include: ['snippet-*.ts'] }),
  )
  await execute(join(PACKAGE, 'node_modules', '.bin', 'tsc'), ['-p', folder])
  return async (index) => {
    const { QUEUE_TYPE: _type, STREAMSWITCH_URL: _url, ...env } = process.env
    const snippet = join(folder, 'out', `snippet-${index}.js`)
    const { stdout } = await execute(process.execPath, [snippet], { cwd: folder, env, timeout: 20_000 })
    return stdout
  }
}
