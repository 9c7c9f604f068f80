import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BrokerError, messageOf } from './errors.js'
import type { InstallLog } from './install.js'
import { runProgram } from './process.js'
import { DEFAULT_SUITE, type DebianChoice, type DebianSuite } from './releases.js'
import { matchesVersion } from './versions.js'

const APT_HINT =
  'Debian packages are fetched with apt-get and unpacked with dpkg: use a Debian or Ubuntu machine, or start Docker.'

/**
 * Packages that only the maintenance scripts of other packages need; nothing here runs those.
 * What remains of a dependency closure are the programs and the shared libraries.
 */
const NOT_NEEDED =
  /^(adduser|base-passwd|debconf|dpkg|gcc-\d+-base|init-system-helpers|lib(audit|blkid|c-gconv|mount|pam|proc2|python|semanage|systemd-shared)|login|lsb-base|media-types|netbase|openssl$|passwd|procps|python3|rabbitmqadmin|readline-common|socat|systemd|sysvinit-utils|tar$|tzdata)/

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

/** Packages of one suite. */
export interface DebianPackages extends DebianChoice {
  /** The first one's version is what the installation is called by. */
  readonly names: readonly string[]
}

/**
 * What a broker of a suite is called in the cache: `rabbitmq` for the default suite, else with the suite, `rabbitmq-forky`, so that
 * versions of several suites are installed side by side.
 */
export function installationName(name: string, suite: string): string {
  return suite === DEFAULT_SUITE ? name : `${name}-${suite}`
}

/**
 * Downloads packages of a suite of Debian with their dependencies, with an apt state of its own, and unpacks them
 * into `folder/root`; the system's package database is neither used nor changed, and root is not needed.
 * The mirror is `STREAMSWITCH_DEBIAN_MIRROR`, else the one that this machine's apt is configured with.
 * Rejects with NOT_FOUND when a tool or a mirror is missing or the suite has another version by now, UNAVAILABLE when a download fails.
 */
export async function unpackDebianPackages(
  folder: string,
  packages: DebianPackages,
  log: InstallLog,
): Promise<UnpackedPackages> {
  const { names, suite } = packages
  const architecture = await readArchitecture()
  const apt = join(folder, '.apt')
  const debs = join(apt, 'debs')
  const env = await privateAptEnvironment(apt, suite)
  try {
    log(`${names[0]}: reading the package index of ${suite}`)
    await fetchIndex(suite, env)
    const closure = await resolveClosure(packages, env)
    log(`${names[0]}: downloading ${closure.length} packages`)
    await mkdir(debs, { recursive: true })
    const wanted = closure.map(({ name, version }) => `${name}=${version}`)
    await runProgram('apt-get', ['-q', 'download', ...wanted], APT_HINT, { cwd: debs, env })
    await unpackAll(debs, join(folder, 'root'))
    const version = upstreamVersion(closure.find(({ name }) => name === names[0])?.version ?? '')
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
async function privateAptEnvironment(apt: string, suite: DebianSuite): Promise<NodeJS.ProcessEnv> {
  const source = `deb [signed-by=${await findKeyring()}] ${await findMirror()}`
  // Experimental holds little: what its packages depend on is in sid.
  const suites = suite === 'experimental' ? ['sid', suite] : [suite]
  for (const part of ['etc/preferences.d', 'state/lists/partial', 'cache/archives/partial']) {
    await mkdir(join(apt, part), { recursive: true })
  }
  await writeFile(join(apt, 'status'), '')
  await writeFile(join(apt, 'sources.list'), suites.map((name) => `${source} ${name} main\n`).join(''))
  const settings: Record<string, string> = {
    'Dir::Etc': join(apt, 'etc'),
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State': join(apt, 'state'),
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'Acquire::Languages': 'none',
    'APT::Install-Recommends': 'false',
    // What Debian hasn't signed is never taken, nor a file that isn't what the signed index says (its SHA-256), whatever apt's defaults become.
    'APT::Get::AllowUnauthenticated': 'false',
    'Acquire::AllowInsecureRepositories': 'false',
    'Acquire::AllowWeakRepositories': 'false',
    'Acquire::AllowDowngradeToInsecureRepositories': 'false',
    // A mirror may be a snapshot that is not renewed; what it holds is signed all the same.
    'Acquire::Check-Valid-Until': 'false',
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

async function fetchIndex(suite: DebianSuite, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await runProgram('apt-get', ['-q', '-o', 'APT::Update::Error-Mode=any', 'update'], APT_HINT, { env })
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'NOT_FOUND') throw error
    throw new BrokerError(
      'UNAVAILABLE',
      `${suite} of the Debian mirror can't be read. Run this once while online, or set STREAMSWITCH_DEBIAN_MIRROR to a mirror that can be reached.\n${messageOf(error)}`,
      { cause: error },
    )
  }
}

/** A package in exactly one version. */
interface DebianPackage {
  readonly name: string
  readonly version: string
}

/** The packages and what they depend on, as apt would install them onto an empty system. */
async function resolveClosure(packages: DebianPackages, env: NodeJS.ProcessEnv): Promise<DebianPackage[]> {
  const { names, suite, version: wanted } = packages
  const { stdout } = await runProgram(
    'apt-get',
    ['-s', 'install', ...names.map((name) => `${name}/${suite}`)],
    APT_HINT,
    {
      env,
    },
  )
  const found = parseSimulation(stdout)
  const version = upstreamVersion(found.find(({ name }) => name === names[0])?.version ?? '')
  if (wanted !== undefined && !matchesVersion(version, wanted)) {
    throw new BrokerError(
      'NOT_FOUND',
      `${names[0]} ${wanted} can't be had: ${suite} has ${version} by now. Ask for @${suite} to get what that suite has.`,
    )
  }
  return found.filter(({ name }) => names.includes(name) || !NOT_NEEDED.test(name))
}

/** The packages that `apt-get -s install` says it would install. */
export function parseSimulation(output: string): DebianPackage[] {
  return [...output.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+) /gm)].map((match) => ({
    name: match[1] ?? '',
    version: match[2] ?? '',
  }))
}

async function unpackAll(debs: string, root: string): Promise<void> {
  for (const file of await readdir(debs)) await runProgram('dpkg', ['-x', join(debs, file), root], APT_HINT)
  // Packages of bookworm still have some of their libraries in /lib, which on an installed system is a link to /usr/lib.
  const old = join(root, 'lib')
  if (existsSync(old)) {
    await cp(old, join(root, 'usr/lib'), { recursive: true, verbatimSymlinks: true })
    await rm(old, { recursive: true })
  }
  for (const unused of ['doc', 'man', 'locale', 'lintian', 'info', 'bash-completion', 'zsh']) {
    await rm(join(root, 'usr/share', unused), { recursive: true, force: true })
  }
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
