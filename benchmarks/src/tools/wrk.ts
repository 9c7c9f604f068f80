import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Measured } from '../measuring/case.js'
import { atRate, runTool } from './tool.js'

const SECONDS = 3

/** Posts 1 KiB over and over, for a few seconds. */
export async function wrkPosts(url: string, connections: number, messages: number): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'streamswitch-wrk-'))
  try {
    const script = join(folder, 'post.lua')
    await writeFile(
      script,
      'wrk.method = "POST"\nwrk.body = string.rep("a", 1024)\nwrk.headers["content-type"] = "application/octet-stream"\n',
    )
    const load = ['--threads', '1', '--connections', String(connections), '--duration', `${SECONDS}s`]
    const output = await runTool('wrk', [...load, '--script', script, url])
    if (/Non-2xx/.test(output)) throw new Error('the server has refused requests')
    return atRate(messages, output, /Requests\/sec:\s*([\d.]+)/)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
