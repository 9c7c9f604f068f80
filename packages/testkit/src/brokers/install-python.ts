import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { InstallRecipe } from './install.js'
import { writeScript } from './install-debian.js'
import { runProgram } from './process.js'

const PYTHON_HINT = 'Install it with: apt-get install python3 python3-pip'

/** Clients of other projects, which share groups and topics with loops in tests. */
const CLIENTS: readonly string[] = [
  'aiokafka==0.14.0',
  'confluent-kafka==2.16.1',
  'kstreams==0.34.6',
  'pika==1.4.4',
  'redis==8.1.0',
  'rstream==1.1.1',
  'streamback==0.5.1',
  'telstar==1.1.3',
]

/** Python with these clients: `python-clients SCRIPT ARGUMENTS`. Nothing outside of the cache folder is touched. */
export const pythonClientsRecipe: InstallRecipe = {
  name: 'python-clients',
  revision: 1,
  // Counts changes of the list above.
  version: '2',
  async build(folder, log) {
    log(`python-clients: installing ${CLIENTS.join(', ')}`)
    await mkdir(join(folder, 'lib'))
    await writeFile(join(folder, 'requirements.txt'), `${CLIENTS.join('\n')}\n`)
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:']
    const into = ['--target', join(folder, 'lib'), '--requirement', join(folder, 'requirements.txt')]
    await runProgram('python3', [...pip, ...into], PYTHON_HINT)
    await writeScript(join(folder, 'bin', 'python-clients'), [
      'here=$(dirname "$(readlink -f "$0")")/..',
      'PYTHONPATH="$here/lib" PYTHONUNBUFFERED=1 exec python3 "$@"',
    ])
    return '2'
  },
}
