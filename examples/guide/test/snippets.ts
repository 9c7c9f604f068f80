import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const PACKAGE = join(import.meta.dirname, '..')
const REPOSITORY = join(PACKAGE, '..', '..')
const FOLDER = join(PACKAGE, 'test-results', 'snippets')

/** What a page's snippet begins with where it is complete: variables, program and file. */
const COMMAND = /^\/\/ ((?:[A-Z_]+=\S+ )*)(npx tsx|node) ([\w-]+\.m[jt]s)\n/

/** Settings of stricter projects, in addition to those of the guide. */
const STRICTER = [
  '--noUnusedLocals',
  '--noUnusedParameters',
  '--noUncheckedIndexedAccess',
  '--exactOptionalPropertyTypes',
]

export interface Snippet {
  /** Path of the page, from the repository's root. */
  readonly page: string
  readonly language: 'ts' | 'js'
  readonly code: string
  /** How the page says to run it; `undefined` where it is a fragment. */
  readonly command: Command | undefined
}

interface Command {
  readonly environment: Readonly<Record<string, string>>
  readonly program: 'npx tsx' | 'node'
  readonly file: string
}

/** The TypeScript and JavaScript snippets of a page. */
export function snippetsOf(page: string): Snippet[] {
  return [...readPage(page).matchAll(/^```(ts|js)\n(.*?)^```$/gms)].map(([, language, code = '']) => ({
    page,
    language: language as Snippet['language'],
    code,
    command: commandOf(code),
  }))
}

/**
 * Writes snippets to disk, each page in a folder within this package, so that they find what it has installed. Then compiles those in
 * TypeScript with the compiler settings of the guide. Rejects where one doesn't compile.
 */
export async function compileSnippets(snippets: readonly Snippet[]): Promise<void> {
  rmSync(FOLDER, { recursive: true, force: true })
  for (const [index, snippet] of snippets.entries()) {
    const file = join(folderOf(snippet), snippet.command?.file ?? `fragment-${index}.m${snippet.language}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, snippet.code)
  }
  const [, settings = ''] = /^```json\n(.*?)^```$/ms.exec(readPage('docs/guide/getting-started.md')) ?? []
  writeFileSync(join(FOLDER, 'tsconfig.json'), JSON.stringify({ ...JSON.parse(settings), include: ['**/*.mts'] }))
  await execute(join(PACKAGE, 'node_modules', '.bin', 'tsc'), ['-p', FOLDER, '--noEmit', ...STRICTER])
}

/** Runs a snippet by the command in its first line, with this Node.js, and resolves to what it printed. Rejects when it fails. */
export async function runSnippet(snippet: Snippet): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const { command } = snippet
  if (command === undefined) throw new Error(`${snippet.page}: the snippet has no command`)
  const { QUEUE_TYPE: _type, STREAMSWITCH_URL: _url, ...inherited } = process.env
  // `npx tsx` by its file, so that it runs on the Node.js that runs the tests.
  const program = command.program === 'node' ? [] : [join(PACKAGE, 'node_modules', 'tsx', 'dist', 'cli.mjs')]
  return execute(process.execPath, [...program, command.file], {
    cwd: folderOf(snippet),
    env: { ...inherited, ...command.environment },
    timeout: 50_000,
  })
}

function commandOf(code: string): Command | undefined {
  const found = COMMAND.exec(code)
  if (found === null) return undefined
  const [, variables = '', program, file = ''] = found
  const pairs = variables.split(' ').filter((pair) => pair !== '')
  return {
    environment: Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string])),
    program: program as Command['program'],
    file,
  }
}

function folderOf({ page }: Snippet): string {
  return join(FOLDER, dirname(page).replaceAll('/', '-'), basename(page, '.md'))
}

function readPage(page: string): string {
  return readFileSync(join(REPOSITORY, page), 'utf8')
}
