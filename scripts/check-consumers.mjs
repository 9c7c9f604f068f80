// Installs every package, as it would be published, into an empty project, and uses it there as strictly as a user may: types with skipLibCheck off
// under each way to resolve modules and the oldest and newest TypeScript; each door by import and by require(), which must do nothing else.
// Dependencies are those of the lockfile, from the workspace's node_modules; what a package doesn't declare isn't there.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mustRun, run, ScriptFailure } from './run.mjs'
import { publishedPackages, ROOT } from './workspace.mjs'

const COMPILERS = {
  newest: join(ROOT, 'scripts/node_modules/typescript'),
  oldest: join(ROOT, 'scripts/oldest-typescript/node_modules/typescript'),
}

/** All that a user may have switched on. */
const STRICT = {
  target: 'ES2023',
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noUncheckedSideEffectImports: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  forceConsistentCasingInFileNames: true,
  skipLibCheck: false,
  noEmit: true,
  types: ['node'],
}

const RESOLUTIONS = {
  nodenext: { module: 'NodeNext', moduleResolution: 'NodeNext' },
  bundler: { module: 'ESNext', moduleResolution: 'Bundler' },
}

/** @type {readonly { compiler: keyof typeof COMPILERS, resolution: keyof typeof RESOLUTIONS }[]} */
const PROJECTS = [
  { compiler: 'newest', resolution: 'nodenext' },
  { compiler: 'newest', resolution: 'bundler' },
  { compiler: 'oldest', resolution: 'nodenext' },
  { compiler: 'oldest', resolution: 'bundler' },
]

/**
 * @param {string} folder
 * @param {readonly import('./workspace.mjs').WorkspacePackage[]} packages
 */
async function install(folder, packages) {
  const modules = join(folder, 'node_modules')
  const link = (/** @type {string} */ from, /** @type {string} */ name) => {
    const target = join(modules, name)
    if (existsSync(target)) return
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(realpathSync(join(from, 'node_modules', name)), target, 'junction')
  }
  for (const { directory, manifest } of packages) {
    const archives = mkdtempSync(join(folder, 'archive-'))
    await mustRun('pnpm', ['pack', '--pack-destination', archives], { cwd: join(ROOT, directory), output: 'capture' })
    await mustRun('tar', ['-xzf', join(archives, readdirSync(archives)[0] ?? ''), '-C', archives])
    cpSync(join(archives, 'package'), join(modules, manifest.name), { recursive: true })
    const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = manifest
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }))
      if (!name.startsWith('@streamswitch/')) link(join(ROOT, directory), name)
  }
  link(join(ROOT, 'scripts'), '@types/node')
}

/** @param {readonly import('./workspace.mjs').WorkspacePackage[]} packages */
function doorsOf(packages) {
  return packages.flatMap(({ manifest }) =>
    Object.keys(manifest.exports ?? {})
      .filter((subpath) => !subpath.endsWith('.json'))
      .map((subpath) => `${manifest.name}${subpath.slice(1)}`),
  )
}

/**
 * @param {string} folder
 * @param {readonly string[]} doors
 */
export function writeProject(folder, doors) {
  const write = (/** @type {string} */ name, /** @type {string | object} */ content) =>
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  write('package.json', { name: 'consumer', private: true, type: 'module' })
  write('doors.ts', doors.map((door, index) => `export * as door${index} from '${door}'\n`).join(''))
  const required = doors.map((door, index) => `import door${index} = require('${door}')\n`)
  write('required.cts', `${required.join('')}export = { ${doors.map((_, index) => `door${index}`).join(', ')} }\n`)
  cpSync(join(import.meta.dirname, 'consumer'), folder, { recursive: true })
  for (const { compiler, resolution } of PROJECTS) {
    // TypeScript 5.7 doesn't know that Node.js can require() ES modules, and bundlers have no such files.
    const more = compiler === 'newest' && resolution === 'nodenext' ? ['required.cts'] : []
    const compilerOptions = { ...STRICT, ...RESOLUTIONS[resolution] }
    write(`tsconfig.${compiler}.${resolution}.json`, { compilerOptions, files: ['doors.ts', 'service.ts', ...more] })
  }
}

/**
 * What the compilers say of a project that {@link writeProject} has written.
 *
 * @param {string} folder
 * @param {typeof PROJECTS} [projects]
 */
export async function typeProblems(folder, projects = PROJECTS) {
  const problems = []
  for (const { compiler, resolution } of projects) {
    const tsc = join(COMPILERS[compiler], 'bin/tsc')
    const command = [tsc, '-p', `tsconfig.${compiler}.${resolution}.json`, '--pretty', 'false']
    const { code, output } = await run(process.execPath, command, { cwd: folder, output: 'capture' })
    if (code !== 0) problems.push(`${resolution}, ${compiler} TypeScript:\n${output}`)
  }
  return problems
}

/**
 * What loading each door does beside making its exports.
 *
 * @param {string} folder
 * @param {readonly string[]} doors
 */
export async function loadProblems(folder, doors) {
  const problems = []
  for (const way of ['import', 'require']) {
    const { code, output } = await run(process.execPath, ['load.cjs', way, ...doors], {
      cwd: folder,
      output: 'capture',
    })
    if (code !== 0 || output !== '') problems.push(`by ${way}, exit code ${code}:\n${output}`)
  }
  return problems
}

async function checkConsumers() {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'streamswitch-consumer-')))
  try {
    const packages = publishedPackages()
    const doors = doorsOf(packages)
    await install(folder, packages)
    writeProject(folder, doors)
    const problems = [...(await typeProblems(folder)), ...(await loadProblems(folder, doors))]
    for (const problem of problems) process.stdout.write(`${problem.trimEnd()}\n`)
    const result = problems.length === 0 ? `${doors.length} doors are sound` : `${problems.length} problems`
    process.stdout.write(`installed packages: ${result}\n`)
    if (problems.length > 0) process.exitCode = 1
  } finally {
    if (process.argv.includes('--keep')) process.stdout.write(`${folder}\n`)
    else rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await checkConsumers().catch((error) => {
    if (!(error instanceof ScriptFailure)) throw error
    if (error.message !== '') process.stderr.write(`${error.message}\n`)
    process.exitCode = error.exitCode
  })
}
