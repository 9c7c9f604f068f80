import { execFile } from 'node:child_process'
import { join } from 'node:path'

const ENTRY = join(import.meta.dirname, '..', 'dist', 'main.js')

/** Runs the built demo as a user does, and returns what it printed. */
export function runDemo(args: readonly string[], url: string): Promise<{ code: number; output: string }> {
  const env = { ...process.env, STREAMSWITCH_URL: url }
  return new Promise((resolve) => {
    execFile(process.execPath, [ENTRY, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` })
    })
  })
}
