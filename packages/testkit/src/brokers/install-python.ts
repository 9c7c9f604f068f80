import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { InstallRecipe } from './install.js'
import { writeScript } from './install-debian.js'
import { runProgram } from './process.js'
import { PYTHON_REQUIREMENTS } from './python-requirements.js'

const PYTHON_HINT = 'Install it with: apt-get install python3 python3-pip'

/** Python with clients of other projects: `python-clients SCRIPT ARGUMENTS`. Nothing outside of the cache folder is touched. */
export const pythonClientsRecipe: InstallRecipe = {
  name: 'python-clients',
  revision: 1,
  // Counts changes of the requirements.
  version: '3',
  async build(folder, log) {
    log('python-clients: installing')
    await mkdir(join(folder, 'lib'))
    await writeFile(join(folder, 'requirements.txt'), PYTHON_REQUIREMENTS)
    const pip = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--only-binary',
      ':all:',
      '--require-hashes',
    ]
    const into = ['--target', join(folder, 'lib'), '--requirement', join(folder, 'requirements.txt')]
    await runProgram('python3', [...pip, ...into], PYTHON_HINT)
    await writeScript(join(folder, 'bin', 'python-clients'), [
      'here=$(dirname "$(readlink -f "$0")")/..',
      'PYTHONPATH="$here/lib" PYTHONUNBUFFERED=1 exec python3 "$@"',
    ])
    return '3'
  },
}
