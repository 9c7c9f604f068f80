import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BrokerError, messageOf } from './errors.js'
import type { InstallLog } from './install.js'
import { runProgram } from './process.js'

const SUITE = 'trixie'
const APT_HINT =
  'Debian packages are fetched with apt-get and unpacked with dpkg: use a Debian or Ubuntu machine, or start Docker.'

/**
 * Packages that only the maintenance scripts of other packages need; nothing here runs those.
 * What remains of a dependency closure are the programs and the shared libraries.
 */
const NOT_NEEDED =
  /^(adduser|base-passwd|debconf|dpkg|init-system-helpers|lib(audit|pam|python|semanage)|login|media-types|netbase|openssl$|passwd|procps|python3|readline-common|socat|tar$|tzdata)/

/** What the machine's architecture is called by Debian, in library paths and by the loader. */
interface Architecture {
  readonly multiarch: string
  readonly loader: string
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  amd64: { multiarch: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { multiarch: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
}

/** A folder `root` that holds the files of some Debian packages and everything that they link to. */
export interface UnpackedPackages {
  /** The installation folder; `root` lies in it, and shims written into it stay valid when it moves. */
  readonly folder: string
  /** The upstream version of the first package asked for, such as `8.0.2`. */
  readonly version: string
  readonly architecture: Architecture
}

/**
 * Downloads packages of Debian's suite "trixie" with their dependencies, with an apt state of its own, and unpacks them
 * into `folder/root`; the system's package database is neither used nor changed, and root is not needed.
 * The mirror is `STREAMSWITCH_DEBIAN_MIRROR`, else the one that this machine's apt is configured with.
 * Rejects with NOT_FOUND when a tool or a mirror is missing, UNAVAILABLE when a download fails.
 */
export async function unpackDebianPackages(
  folder: string,
  packages: readonly string[],
  log: InstallLog,
): Promise<UnpackedPackages> {
  const architecture = await readArchitecture()
  const apt = join(folder, '.apt')
  const debs = join(apt, 'debs')
  const env = await privateAptEnvironment(apt)
  try {
    log(`${packages[0]}: reading the package index of ${SUITE}`)
    await fetchIndex(env)
    const closure = await resolveClosure(packages, env)
    log(`${packages[0]}: downloading ${closure.length} packages`)
    await mkdir(debs, { recursive: true })
    await runProgram('apt-get', ['-q', 'download', ...closure], APT_HINT, { cwd: debs, env })
    await unpackAll(debs, join(folder, 'root'))
    const version = await readPackageVersion(debs, packages[0] ?? '')
    return { folder, version, architecture }
  } finally {
    await rm(apt, { recursive: true, force: true })
  }
}

async function readArchitecture(): Promise<Architecture> {
  const { stdout } = await runProgram('dpkg', ['--print-architecture'], APT_HINT)
  const architecture = ARCHITECTURES[stdout.trim()]
  if (architecture === undefined) {
    throw new BrokerError(
      'NOT_FOUND',
      `local brokers are known to run on ${Object.keys(ARCHITECTURES).join(' and ')}, not on ${stdout.trim()}; start Docker instead.`,
    )
  }
  return architecture
}

/** Writes an apt configuration that keeps all state below `apt` and returns the environment that selects it. */
async function privateAptEnvironment(apt: string): Promise<NodeJS.ProcessEnv> {
  const source = `deb [signed-by=${await findKeyring()}] ${await findMirror()} ${SUITE} main\n`
  for (const part of ['etc/preferences.d', 'state/lists/partial', 'cache/archives/partial']) {
    await mkdir(join(apt, part), { recursive: true })
  }
  await writeFile(join(apt, 'status'), '')
  await writeFile(join(apt, 'sources.list'), source)
  const settings: Record<string, string> = {
    'Dir::Etc': join(apt, 'etc'),
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State': join(apt, 'state'),
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'Acquire::Languages': 'none',
    'APT::Install-Recommends': 'false',
    // apt drops to its own user for downloads, who can't enter this folder.
    'APT::Sandbox::User': '',
  }
  const file = join(apt, 'apt.conf')
  await writeFile(
    file,
    Object.entries(settings)
      .map(([key, value]) => `${key} "${value}";\n`)
      .join(''),
  )
  return { ...process.env, APT_CONFIG: file, LC_ALL: 'C' }
}

async function findKeyring(): Promise<string> {
  const folder = '/usr/share/keyrings'
  for (const name of ['debian-archive-keyring.pgp', 'debian-archive-keyring.gpg']) {
    if (existsSync(join(folder, name))) return join(folder, name)
  }
  throw new BrokerError(
    'NOT_FOUND',
    "Debian's signing keys are missing. Install them with: apt-get install debian-archive-keyring",
  )
}

async function findMirror(): Promise<string> {
  const chosen = process.env['STREAMSWITCH_DEBIAN_MIRROR']
  if (chosen !== undefined && chosen !== '') return chosen
  const { stdout } = await runProgram(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'],
    APT_HINT,
  )
  const mirror = stdout.split('\n').find((uri) => /\/debian\/?$/.test(uri))
  if (mirror === undefined) {
    throw new BrokerError(
      'NOT_FOUND',
      "this machine's apt has no Debian mirror: set STREAMSWITCH_DEBIAN_MIRROR to the address of one, or start Docker.",
    )
  }
  return mirror
}

async function fetchIndex(env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await runProgram('apt-get', ['-q', '-o', 'APT::Update::Error-Mode=any', 'update'], APT_HINT, { env })
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'NOT_FOUND') throw error
    throw new BrokerError(
      'UNAVAILABLE',
      `the Debian mirror can't be read. Run this once while online, or set STREAMSWITCH_DEBIAN_MIRROR to a mirror that can be reached.\n${messageOf(error)}`,
      { cause: error },
    )
  }
}

/** The packages and what they depend on, as apt would install them onto an empty system. */
async function resolveClosure(packages: readonly string[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const { stdout } = await runProgram('apt-get', ['-s', 'install', ...packages], APT_HINT, { env })
  const names = [...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '')
  return names.filter((name) => packages.includes(name) || !NOT_NEEDED.test(name))
}

async function unpackAll(debs: string, root: string): Promise<void> {
  for (const file of await readdir(debs)) await runProgram('dpkg', ['-x', join(debs, file), root], APT_HINT)
  for (const unused of ['doc', 'man', 'locale', 'lintian', 'info', 'bash-completion', 'zsh']) {
    await rm(join(root, 'usr/share', unused), { recursive: true, force: true })
  }
}

async function readPackageVersion(debs: string, name: string): Promise<string> {
  const file = (await readdir(debs)).find((entry) => entry.startsWith(`${name}_`))
  if (file === undefined) throw new BrokerError('UNAVAILABLE', `apt-get downloaded no package ${name}`)
  const { stdout } = await runProgram('dpkg-deb', ['-f', join(debs, file), 'Version'], APT_HINT)
  return upstreamVersion(stdout.trim())
}

/** The upstream part of a Debian version: `5:8.0.2-3+deb13u1` is `8.0.2`. */
export function upstreamVersion(debianVersion: string): string {
  return debianVersion
    .replace(/^\d+:/, '')
    .replace(/-[^-]*$/, '')
    .replace(/[^0-9A-Za-z.].*$/, '')
}

/**
 * Writes an executable `path` that starts `program` (relative to `root`) with the unpacked loader and libraries, so
 * that the machine's own C library doesn't matter. It replaces itself: its process id is the program's.
 */
export async function writeLoaderShim(unpacked: UnpackedPackages, path: string, program: string): Promise<void> {
  const { multiarch, loader } = unpacked.architecture
  const depth =
    join(path)
      .slice(unpacked.folder.length + 1)
      .split('/').length - 1
  const libraries = `"$here/root/usr/lib/${multiarch}"`
  await writeScript(path, [
    `here=$(dirname "$(readlink -f "$0")")${'/..'.repeat(depth)}`,
    `exec ${libraries}/${loader} --library-path ${libraries} --argv0 "$0" "$here/root/${program}" "$@"`,
  ])
}

/** Writes an executable shell script. */
export async function writeScript(path: string, lines: readonly string[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 })
}
