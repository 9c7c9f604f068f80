import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { BrokerError } from './errors.js'
import type { InstallRecipe } from './install.js'
import {
  installationName,
  type UnpackedPackages,
  unpackDebianPackages,
  writeLoaderShim,
  writeScript,
} from './install-debian.js'
import { chooseDebian } from './releases.js'

const ERLANG = 'usr/lib/erlang'
const EMULATOR_PROGRAMS = ['beam.smp', 'erl_child_setup', 'inet_gethost', 'epmd', 'erlexec', 'heart']

/** The command line tools that come with the broker. */
export const RABBITMQ_TOOLS = [
  'rabbitmqctl',
  'rabbitmq-plugins',
  'rabbitmq-diagnostics',
  'rabbitmq-queues',
  'rabbitmq-streams',
] as const

/** RabbitMQ with its Erlang from Debian's packages: `bin/rabbitmq-server`, `bin/epmd` and the tools. */
export function rabbitmqRecipe(wanted?: string): InstallRecipe {
  const choice = chooseDebian('rabbitmq', wanted)
  return {
    name: installationName('rabbitmq', choice.suite),
    revision: 1,
    ...(choice.version === undefined ? {} : { version: choice.version }),
    async build(folder, log) {
      const unpacked = await unpackDebianPackages(folder, { ...choice, names: ['rabbitmq-server'] }, log)
      await writeErlangShims(unpacked)
      await writePortProgramShims(unpacked)
      await writeRabbitmqScripts(unpacked)
      return unpacked.version
    },
  }
}

async function soleEntry(folder: string, prefix: string): Promise<string> {
  const entry = (await readdir(folder)).find((name) => name.startsWith(prefix))
  if (entry === undefined) throw new BrokerError('NOT_FOUND', `the packages hold no ${join(folder, prefix)}*`)
  return entry
}

async function writeErlangShims(unpacked: UnpackedPackages): Promise<void> {
  const { folder } = unpacked
  const emulator = `${ERLANG}/${await soleEntry(join(folder, 'root', ERLANG), 'erts-')}/bin`
  for (const program of EMULATOR_PROGRAMS)
    await writeLoaderShim(unpacked, join(folder, 'erts', program), `${emulator}/${program}`)
  await writeLoaderShim(unpacked, join(folder, 'bin/epmd'), `${emulator}/epmd`)
  // escript looks for erl beside its own name, so it has to lie beside our erl.
  await writeLoaderShim(unpacked, join(folder, 'bin/escript'), `${emulator}/escript`)
  for (const erl of ['bin/erl', 'erts/erl']) {
    await writeScript(join(folder, erl), [
      'here=$(dirname "$(readlink -f "$0")")/..',
      'here=$(readlink -f "$here")',
      `export ROOTDIR="$here/root/${ERLANG}" BINDIR="$here/erts" EMU=beam PROGNAME=erl`,
      'exec "$here/erts/erlexec" "$@"',
    ])
  }
}

/** os_mon starts these from its own folder, and the node does not boot when they can't run. */
async function writePortProgramShims(unpacked: UnpackedPackages): Promise<void> {
  const libraries = join(unpacked.folder, 'root', ERLANG, 'lib')
  const programs = join(await soleEntry(libraries, 'os_mon-'), 'priv/bin')
  for (const program of ['memsup', 'cpu_sup']) {
    const path = join(libraries, programs, program)
    await rename(path, `${path}.real`)
    await writeLoaderShim(unpacked, path, `${ERLANG}/lib/${programs}/${program}.real`)
  }
}

async function writeRabbitmqScripts(unpacked: UnpackedPackages): Promise<void> {
  const { folder } = unpacked
  const release = await soleEntry(join(folder, 'root/usr/lib/rabbitmq/lib'), 'rabbitmq_server-')
  for (const name of ['rabbitmq-server', ...RABBITMQ_TOOLS]) {
    await writeScript(join(folder, 'bin', name), [
      'here=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")',
      'PATH="$here/bin:$PATH"; export PATH',
      // Erlang's tables grow with this limit; some machines set it to a billion.
      'ulimit -n 20000 2>/dev/null',
      `exec "$here/root/usr/lib/rabbitmq/lib/${release}/sbin/${name}" "$@"`,
    ])
  }
}
